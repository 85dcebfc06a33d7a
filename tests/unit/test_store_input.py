"""What a client hands to the Store: good lines pass, bad ones are named, none stops."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from tempfile import TemporaryFile
from uuid import UUID, uuid4

import numpy as np
import pytest

from producers.store.generate import Generator, Population
from producers.store.ids import uuid7s
from producers.store.lines import LINE_BYTES_MAX, chunks
from producers.store.transfers import Chunk
from tests.unit.entries import SECONDS_MAX

GOOD = {
    "transfer_id": "0192f3c1-7a80-7c3e-9d3a-5f2f6a1b0c01",
    "debit_account": 1,
    "credit_account": 2,
    "amount": 250,
    "currency": "EUR",
}


def read(*lines: object) -> tuple[list[Chunk], list[tuple[int, str]]]:
    raw = [
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    ]
    rejected: list[tuple[int, str]] = []
    with TemporaryFile() as file:
        file.write(b"\n".join(raw))
        file.seek(0)
        found = chunks(
            file,
            lambda number, why: rejected.append((number, why)),
            records_max=2,
            linger_seconds=0.0,
        )
        return [chunk for chunk in found if chunk is not None], rejected


def test_good_lines_become_chunks_of_the_size_asked_for() -> None:
    found, rejected = read(GOOD, GOOD, GOOD)
    assert [len(chunk) for chunk in found] == [2, 1]
    assert found[0].transfer_ids[0] == UUID(str(GOOD["transfer_id"])).bytes
    assert rejected == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": "many"}, "amount"),
        ({"amount": 2**63}, "amount"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"debit_account": -1}, "debit_account"),
        ({"credit_account": 1}, "must differ"),
        ({"transfer_id": "1"}, "transfer_id"),
        ({"transfer_id": str(UUID(int=0))}, "transfer_id: Value error, must not be"),
        ({"memo": "x" * 141}, "memo"),
        ({"memo": "a\u0000b"}, "memo"),
        ({"created_at_ms": -1}, "created_at_ms"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(
    change: dict[str, object], field: str
) -> None:
    found, rejected = read(GOOD, GOOD | change, GOOD)
    assert sum(map(len, found)) == 2
    ((number, why),) = rejected
    assert number == 2
    assert field in why


def test_lines_that_are_no_json_or_too_long_are_named_too() -> None:
    long = [b"x" * (LINE_BYTES_MAX + 1), b"x" * 1_000_000]
    found, rejected = read(b"{", b" ", b"\xff\xfe", *long, GOOD)
    assert [number for number, _ in rejected] == [1, 3, 4, 5]
    assert rejected[-1][1].startswith("1000000 bytes")
    assert sum(map(len, found)) == 1


LINGER_SECONDS = 0.2


@pytest.fixture
def pipe() -> Iterator[tuple[int, Iterator[Chunk | None]]]:
    """Where to write, and the chunks that come out: of 1,000 lines, or by time."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        yield writing, chunks(
            stream, lambda *_: None, records_max=1_000, linger_seconds=LINGER_SECONDS
        )
    try:
        os.close(writing)
    except OSError:  # the test has
        pass


def test_a_line_in_a_pipe_that_stays_open_is_sent_after_the_linger(
    pipe: tuple[int, Iterator[Chunk | None]],
) -> None:
    writing, found = pipe
    os.write(writing, json.dumps(GOOD).encode() + b"\n")
    began = time.monotonic()
    chunk = next(found)
    assert chunk is not None and len(chunk) == 1
    assert LINGER_SECONDS <= time.monotonic() - began < LINGER_SECONDS + SECONDS_MAX
    assert next(found) is None, "it says that it waits"
    os.close(writing)
    assert list(found) == []


def test_lines_that_trickle_are_sent_in_time_and_none_is_lost(
    pipe: tuple[int, Iterator[Chunk | None]],
) -> None:
    writing, found = pipe
    line = json.dumps(GOOD).encode() + b"\n"

    def trickle() -> None:
        for _ in range(60):
            os.write(writing, line[:40])  # half a line is not lost either
            time.sleep(LINGER_SECONDS / 40)
            os.write(writing, line[40:])
            time.sleep(LINGER_SECONDS / 40)
        os.close(writing)

    thread = threading.Thread(target=trickle)
    thread.start()
    sizes = [len(chunk) for chunk in found if chunk is not None]
    thread.join()
    assert sum(sizes) == 60
    assert len(sizes) > 1, "none of them waits for the end"


def test_a_missing_transfer_id_is_not_made_up() -> None:
    line = {name: value for name, value in GOOD.items() if name != "transfer_id"}
    _, ((_, why),) = read(line)
    assert "transfer_id" in why


def test_generated_ids_are_ordered_version_7_and_never_repeat() -> None:
    random = np.random.default_rng(7)
    first, second = uuid7s(1000, 1_000_000, random), uuid7s(1000, 1_000_001, random)
    ids = [UUID(bytes=raw) for raw in first + second]
    assert len(set(ids)) == 2000
    assert {each.version for each in ids} == {7}
    assert max(first) < min(second)


def test_the_same_seed_makes_the_same_payments_under_new_ids() -> None:
    population = Population(accounts=50, merchants=5, hot_share=0.5)
    one, two = (Generator(population, seed=3).chunk(500) for _ in range(2))
    assert one.debit_accounts == two.debit_accounts
    assert one.amounts == two.amounts
    assert not set(one.transfer_ids) & set(two.transfer_ids)
    assert set(one.credit_accounts) <= set(range(51, 56))
    assert list(one.credit_accounts).count(51) > 200


def test_a_line_made_from_a_uuid_object_is_the_same_line() -> None:
    identity = uuid4()
    (chunk,), _ = read(GOOD | {"transfer_id": str(identity)})
    assert chunk.transfer_ids == [identity.bytes]
