"""A batch: every line has its answer, whatever the other lines and the client do."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from producers.store.api.ndjson import LINE_BYTES_MAX, Line, read_lines
from producers.store.api.routes import BATCHES_MAX
from producers.store.desk import Answer as DeskAnswer
from producers.store.transfers import Transfer
from tests.unit.serving import FIELDS, Served, head, serving

BATCH = "POST /v1/transfers:batch"
NDJSON = {"Content-Type": "application/x-ndjson"}
ENDED = ("POST", "/v1/transfers:batch", 200)
LARGE = 20_000
MIB = 1 << 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("store")
    with serving(folder, rate_limit=1_000_000) as served:
        yield served


def line(**fields: object) -> bytes:
    values = {"transfer_id": str(uuid4()), **FIELDS, **fields}
    return json.dumps(values).encode() + b"\n"


def request(body: bytes, *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    said = headers or ("Content-Type: application/x-ndjson",)
    return head(BATCH, f"Content-Length: {size}", *said) + body


def answers(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(each) for each in body.splitlines()]


def outcome(answer: dict[str, Any]) -> str:
    said: str = answer.get("state") or answer["problem"]["code"]
    return said


def post(store: Served, body: bytes) -> list[dict[str, Any]]:
    with store.http() as http:
        response = http.post("/v1/transfers:batch", content=body, headers=NDJSON)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    return answers(response.content)


# -- lines -----------------------------------------------------------------------------
def test_wrong_lines_are_answered_by_number_and_do_not_stop_the_others(
    store: Served,
) -> None:
    taken = str(uuid4())
    body = b"".join(
        [
            line(transfer_id=taken),
            line(amount=0),
            b"\n",
            b"{\n",
            b" \r\n",
            line(memo="x" * LINE_BYTES_MAX),
            line(transfer_id=taken),
            line(transfer_id=taken, amount=7),
            line().replace(b"\n", b"\r\n"),
            line()[:-1],
        ]
    )
    found = post(store, body)
    assert [(each["line"], outcome(each)) for each in found] == [
        (1, "committed"),
        (2, "invalid-request"),
        (4, "malformed-json"),
        (6, "too-large"),
        (7, "committed"),
        (8, "transfer-id-taken"),
        (9, "committed"),
        (10, "committed"),
    ]
    assert found[0]["transfer_id"] == taken
    assert found[1]["problem"]["errors"][0]["field"] == "amount"


def test_an_empty_batch_has_no_answers(store: Served) -> None:
    assert post(store, b"") == post(store, b"\n\n") == []


def split(body: bytes, size: int) -> list[Line]:
    """What is read of a body that comes in pieces of this size."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    async def read() -> list[Line]:
        return [each async for lines in read_lines(pieces()) for each in lines]

    return asyncio.run(read())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16_384, 16_385, 100_000])
def test_lines_are_the_same_wherever_the_packets_are_cut(size: int) -> None:
    longest = b"x" * LINE_BYTES_MAX
    body = b"a\n\n b\n" + longest + b"\n" + longest + b"y\n\r\nc\n" + longest * 2
    assert split(body, size) == [
        (1, b"a"),
        (3, b" b"),
        (4, longest),
        (5, None),
        (7, b"c"),
        (8, None),
    ]


def test_a_line_that_never_ends_takes_no_memory() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b"x" * 65_536
        yield b"\nlast"

    async def read() -> list[Line]:
        return [each async for lines in read_lines(pieces()) for each in lines]

    tracemalloc.start()
    try:
        assert asyncio.run(read()) == [(1, None), (2, b"last")]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB


# -- clients ---------------------------------------------------------------------------
def test_a_client_that_sends_all_before_it_reads_gets_all_answers_in_order(
    store: Served,
) -> None:
    """Every second line is wrong and long: no buffer of a kernel holds all of them."""
    fields = {"debit_account": 0, "credit_account": 0, "amount": 0, "currency": "?"}
    wrong = line(**fields, memo="x" * 1_500)
    body = b"".join(line() + wrong for _ in range(LARGE // 2))
    with store.connect() as connection:
        connection.send(request(body))
        answer = connection.answer()
    assert answer is not None and answer.status == 200
    found = answers(answer.body)
    assert [each["line"] for each in found] == list(range(1, LARGE + 1))
    assert {outcome(each) for each in found[::2]} == {"committed"}
    assert {outcome(each) for each in found[1::2]} == {"invalid-request"}


def test_the_first_answers_come_while_the_batch_is_still_sent(store: Served) -> None:
    first, second = line(), line()
    with store.connect() as connection:
        size = len(first + second)
        connection.send(request(first, length=size))
        assert connection.head() == 200
        (answer,) = answers(connection.piece())
        assert outcome(answer) == "committed"
        connection.send(second)
        (answer,) = answers(connection.piece())
        assert answer["line"] == 2
        assert connection.piece() == b""


def test_clients_that_leave_in_the_middle_leave_nothing_behind(store: Served) -> None:
    half = b"".join(line() for _ in range(1_000))
    while not store.ended.empty():
        store.ended.get()
    for _ in range(BATCHES_MAX + 1):
        with store.connect() as connection:
            connection.send(request(half, length=2 * len(half)))
            assert connection.head() == 200
        assert store.ended.get(timeout=20) == ENDED
    assert [outcome(each) for each in post(store, line())] == ["committed"]


def test_only_so_many_batches_are_read_at_once(store: Served) -> None:
    with ExitStack() as open_:
        for _ in range(BATCHES_MAX):
            connection = open_.enter_context(store.connect())
            connection.send(request(b"", length=1))
            assert connection.head() == 200
        connection = open_.enter_context(store.connect())
        connection.send(request(line()))
        answer = connection.answer()
        assert answer is not None and answer.problem()["code"] == "busy"
        while not store.ended.empty():
            store.ended.get()
    for _ in range(BATCHES_MAX):
        assert store.ended.get(timeout=20) == ENDED


def test_a_batch_in_another_media_type_is_refused(store: Served) -> None:
    with store.connect() as connection:
        connection.send(request(line(), "Content-Type: application/json"))
        answer = connection.answer()
    assert answer is not None and answer.status == 415
    assert answer.problem()["code"] == "unsupported-media-type"


# -- limits ----------------------------------------------------------------------------
def test_a_batch_over_the_limit_keeps_the_answers_of_what_was_read(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, batch_bytes_max=100_000) as served:
        with served.connect() as connection:
            connection.send(request(line(), length=400_000))
            assert connection.head() == 200
            assert outcome(answers(connection.piece())[0]) == "committed"
            connection.send(b"\n" * (400_000 - len(line())))
            (last,) = answers(connection.piece())
            assert connection.piece() == b""
    assert outcome(last) == "too-large" and "line" not in last


def test_a_batch_that_stalls_ends_with_what_was_read(tmp_path: Path) -> None:
    with serving(tmp_path, receive_seconds_max=0.5) as served:
        with served.connect() as connection:
            connection.send(request(line(), length=1_000))
            answer = connection.answer()
    assert answer is not None
    assert [outcome(a) for a in answers(answer.body)] == [
        "committed",
        "request-timeout",
    ]


def test_a_batch_over_the_rate_gets_as_far_as_the_rate_allows(tmp_path: Path) -> None:
    """Also when the rate is less than what is sent on at once."""
    with serving(tmp_path, rate_limit=3) as served:
        found = post(served, b"".join(line() for _ in range(7)))
    assert [outcome(each) for each in found] == (
        ["committed"] * 3 + ["too-many-requests"] * 4
    )


def test_a_mistake_of_ours_costs_the_lines_that_it_meets_and_no_others(
    store: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_all = store.desk.send_all

    async def sometimes(
        client: str, lines: Sequence[Transfer], within_seconds: float
    ) -> list[DeskAnswer]:
        if any(each.memo == "poison" for each in lines):
            raise RuntimeError("a mistake")
        return await send_all(client, lines, within_seconds)

    monkeypatch.setattr(store.desk, "send_all", sometimes)
    lines = [line() for _ in range(1_001)]
    lines[1_000] = line(memo="poison")
    found = post(store, b"".join(lines))
    assert [each["line"] for each in found] == list(range(1, 1_002))
    assert {outcome(each) for each in found[:500]} == {"committed"}
    assert found[1_000]["problem"] == {
        "type": "/problems#internal",
        "title": "A mistake of the Store",
        "status": 500,
        "detail": "It has been logged.",
        "code": "internal",
    }
