"""The short way into PUT and the long one take the same language, and say the same.

Two parsers that differ are how one payment becomes two, or none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from unittest.mock import patch
from urllib.parse import unquote
from uuid import UUID, uuid4

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from producers.store.api import express
from tests.unit.serving import FIELDS, PAYMENT, Answer, Served, serving

SPELLING = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
PREFIX = "/v1/transfers/"
# A null has no quotation marks, which hid those of the second account.
NULL_AND_TWICE = PAYMENT[:-1] + b',"transfer_id":null,"debit_account":1}'
VERSION_8 = "d986e138-2ead-88f3-94e6-77a1d5b7ecdd"

# -- paths -----------------------------------------------------------------------------


def percent(text: str, at: int) -> str:
    """The text with one letter of it percent-encoded: the same to everybody."""
    return f"{text[:at]}%{ord(text[at]):02X}{text[at + 1:]}"


SPELLED: dict[str, Callable[[str], str]] = {
    "as usual": lambda text: text,
    "again": lambda text: text,
    "in capitals": str.upper,
    "one letter encoded": lambda text: percent(text, 7),
    "a hyphen encoded": lambda text: percent(text, 8),
    "in braces": lambda text: "{" + text.replace("-", "") + "}--",
    "in braces, encoded": lambda text: "%7B" + text[:-2] + "%7D",
    "0x": lambda text: "0x" + text[2:],
    "a sign": lambda text: "+" + text[1:],
    "a space": lambda text: "%20" + text[1:],
    "a line end": lambda text: text[:-1] + "%0A",
    "one more line end": lambda text: text + "%0A",
    "a digit that is none of ours": lambda text: "%D9%A3" + text[1:],
    "a wide digit": lambda text: "%EF%BC%91" + text[1:],
    "an underscore": lambda text: text[0] + "_" + text[2:],
    "hyphens elsewhere": lambda text: text.replace("-", "") + "----",
    "no hyphens": lambda text: text.replace("-", ""),
    "too short": lambda text: text[:-1],
    "urn": lambda text: "urn:uuid:" + text,
    "a slash behind": lambda text: text + "/",
    "a slash in it": lambda text: text[:8] + "%2F" + text[9:],
    "NUL": lambda text: text[:-1] + "%00",
    "bytes that are no text": lambda text: text[:-1] + "%FF",
    "a parameter": lambda text: text[:-2] + ";a",
    "nothing": lambda text: "",
}
ids = st.uuids().map(str) | st.sampled_from(
    [str(UUID(int=0)), str(UUID(int=1)), str(UUID(int=2**128 - 1)), VERSION_8]
)
prefixes = st.sampled_from(
    [PREFIX] * 12 + ["/v1/transfers%2F", "/%76%31/transfers/", "/v1//transfers/"]
)
queries = st.sampled_from(
    ["", "", "", "?", "?wait=0", "?wait=0.001", "?wait=-1", "?wait=nan", "?wait="]
    + ["?wait=0&wait=1", "?a=b", "?transfer_id=1", "??"]
)


@st.composite
def paths(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(list(SPELLED)))
    event(f"id: {kind}")
    return draw(prefixes) + SPELLED[kind](draw(ids)) + draw(queries)


# -- headers ---------------------------------------------------------------------------
TYPE, ENCODING, TIMEOUT = "Content-Type", "Content-Encoding", "Request-Timeout"
headers = st.lists(
    st.sampled_from(
        [f"{TYPE}: {value}" for value in ("text/plain", "application/x-ndjson", "")]
        + [f"{TYPE}: application/json{more}" for more in (";charset=utf-8", " ;", "x")]
        + [f"{TYPE}: APPLICATION/JSON"]
        + [f"{ENCODING}: {value}" for value in ("identity", "gzip", "Identity", "")]
        + [f"{TIMEOUT}: {value}" for value in ("5", "2.5", "0", "-1", "NaN", "x", "")]
        + ["Idempotency-Key: a", "Authorization: Bearer x", "Expect: nothing"]
    ),
    max_size=2,
)

# -- bodies ----------------------------------------------------------------------------
# What is a number to some parser, and texts as they may be written.
NO_NUMBERS = (
    *("0", "-1", "-0", "007", "+7", "1_0", "0x10", "1e2", "250.0", "1.5", "1E400"),
    *("NaN", "Infinity", "9223372036854775808", "1" * 30, "1" * 5_000),
    *("true", "false", "null", "[]", "[1]", "{}", '"250"', '" 250 "', '"1_0"', '""'),
)
TEXTS = (
    *('"EUR"', '"eur"', '"EUR\\n"', '"\\u0045UR"', '"\\ud800"', '"\\u0000"'),
    *('"\\u202e"', '"\\""', '"x', f'"{"x" * 140}"', f'"{"x" * 141}"'),
    *(f'"{"€" * 47}"', f'"{VERSION_8}"', '"7"'),
)
values = st.sampled_from(["1", "250", "9223372036854775807", *NO_NUMBERS, *TEXTS])
names = st.sampled_from(
    [*FIELDS, "memo", "transfer_id", "created_at_ms", "surprise", "Amount", ""]
    + ["\\u0061mount", "amount\\u0000", "\\/"]
)
whole = st.sampled_from(
    [b"", b"{", b"[]", b"null", b"1", b'"', b"{}{}", b"\xef\xbb\xbf{}", b"[" * 5_000]
    + [json.dumps(FIELDS).encode("utf-16"), b'{"memo":"\xff"}', b" " * 16_385]
)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """A payment with fields changed, left out, added, or there twice."""
    fields = [(name, json.dumps(value)) for name, value in FIELDS.items()]
    for name, value in draw(st.lists(st.tuples(names, values), max_size=2)):
        kept = draw(st.booleans())
        fields = [each for each in fields if kept or each[0] != name] + [(name, value)]
    if not draw(st.integers(0, 9)):
        fields.pop(0)
    return "{{{}}}".format(",".join(f'"{n}": {v}' for n, v in fields)).encode()


bodies = objects() | objects() | objects() | whole


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, list[str], bytes]:
    """Path, headers and body; mostly one of them is odd."""
    odd = draw(st.sampled_from(["path", "headers", "body", "body", "all"]))
    return (
        draw(paths()) if odd in ("path", "all") else PREFIX + str(draw(st.uuids())),
        draw(headers) if odd in ("headers", "all") else [],
        draw(bodies) if odd in ("body", "all") else PAYMENT,
    )


# -- both ways -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("store")
    with serving(folder, rate_limit=1_000_000) as served:
        yield served


def way(long: bool) -> AbstractContextManager[object]:
    if long:
        return patch.object(express, "plain_put", lambda scope: None)
    return nullcontext()


def ask(store: Served, path: str, more: list[str], body: bytes) -> Answer:
    if not any(each.startswith(TYPE) for each in more):
        more = [*more, f"{TYPE}: application/json"]
    lines = [f"PUT {path} HTTP/1.1", "Host: store", f"Content-Length: {len(body)}"]
    with store.connect() as connection:
        connection.send("\r\n".join((*lines, *more, "", "")).encode() + body)
        answer = connection.answer()
    assert answer is not None
    return answer


def said(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    """All of an answer but when it was made."""
    headers = [each for each in answer.headers.items() if each[0] != "date"]
    return answer.status, headers, answer.body


@settings(deadline=None, max_examples=300)
@given(questions(), st.booleans())
@example((PREFIX + str(UUID(int=7)), [], NULL_AND_TWICE), False)
def test_both_ways_say_the_same(
    store: Served, question: tuple[str, list[str], bytes], long_first: bool
) -> None:
    path, more, body = question
    with way(long_first):
        one = ask(store, path, more, body)
    with way(not long_first):
        other = ask(store, path, more, body)
    assert said(one) == said(other)
    event(f"status {one.status}")
    if one.status != 202:
        assert one.problem()["code"]
        return
    written = unquote(path.partition("?")[0]).removeprefix(PREFIX).lower()
    assert SPELLING.fullmatch(written) and UUID(written).version != 8
    assert json.loads(one.body)["transfer_id"] == written
    # And what was taken has one meaning, whoever reads it.
    pairs: list[tuple[str, object]] = json.loads(body, object_pairs_hook=list)
    counted = dict(pairs)
    assert len(counted) == len(pairs), "a field counted that was there twice"
    for name in ("debit_account", "credit_account", "amount"):
        assert type(counted[name]) is int


@pytest.mark.parametrize("long", [False, True], ids=["short way", "long way"])
@pytest.mark.parametrize("field", ["debit_account", "credit_account", "amount"])
def test_nothing_but_an_integer_is_a_number(
    store: Served, field: str, long: bool
) -> None:
    taken = []
    with way(long):
        for value in NO_NUMBERS:
            fields = {
                **{name: json.dumps(v) for name, v in FIELDS.items()},
                field: value,
            }
            body = ",".join(f'"{name}":{text}' for name, text in fields.items())
            answer = ask(store, f"{PREFIX}{uuid4()}", [], f"{{{body}}}".encode())
            if answer.status not in (400, 422):
                taken.append((value, answer.status))
    assert not taken


@pytest.mark.parametrize("long", [False, True], ids=["short way", "long way"])
def test_the_plain_form_takes_the_way_that_is_meant(
    store: Served, long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the test above compares a way with itself."""
    monkeypatch.setattr(express.Route, "path", "short")
    while not store.ended.empty():
        store.ended.get()
    with way(long):
        answer = ask(store, f"{PREFIX}{uuid4()}", [], PAYMENT)
    assert answer.status == 202
    _, route, _ = store.ended.get(timeout=20)
    assert route == ("/v1/transfers/{transfer_id}" if long else "short")
