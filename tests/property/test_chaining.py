"""However polls are cut, `batches` grows with the records, and none is lost."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from consumers.bank import chaining
from consumers.bank.batch import Numbered, Records, Slice
from consumers.bank.position import Position
from consumers.bank.rules import Transfers
from once.chain import GENESIS
from tests.property.test_chain import again

polls = st.lists(st.integers(1, 400), min_size=1, max_size=40)


def a_slice(first: int, count: int, size: int) -> Slice:
    values: list[bytes | None] = [b"%d" % n * size for n in range(count)]
    return Slice(
        records=Records(0, list(range(first, first + count)), [], values, []),
        ids=[],
        emitters=[],
        faults={},
        transfers=Transfers(0, [], [], [], [], [], []),
        offsets=[],
        created_at_ms=[],
        numbered=Numbered([], [], []),
    )


@given(polls, st.sampled_from([1, 50, 5_000]), st.integers(0, 5))
def test_rows_are_full_and_hold_every_record_once(
    counts: list[int], size: int, first_batches: int
) -> None:
    tail = Position(0, 0, GENESIS)
    rows: list[chaining.Batch] = []
    log: list[tuple[int, bytes | None, int]] = []
    with patch.object(chaining, "FIRST_BATCHES", first_batches):
        for count in counts:
            piece = a_slice(tail.next_offset, count, size)
            verdicts = [1 + offset % 9 for offset in piece.records.offsets]
            log += zip(
                piece.records.offsets, piece.records.values, verdicts, strict=True
            )
            tail, batch = chaining.join(tail, piece, verdicts)
            if batch.closed:
                rows.append(batch)
    assert tail.next_offset == len(log)
    if tail.open:
        rows.append(batch)
    digest, due = GENESIS, 0
    for number, row in enumerate(rows, start=1):
        mine = log[due : due + row.records]
        digest = again(digest, mine)
        due += row.records
        assert (row.batch_number, row.hash) == (number, digest)
        assert (row.first_offset, row.last_offset) == (mine[0][0], mine[-1][0])
        assert row.posted == sum(verdict == 1 for _, _, verdict in mine)
        assert row.declined == sum(1 < verdict <= 8 for _, _, verdict in mine)
        if row.closed and number > first_batches:
            size = sum(len(value or b"") for _, value, _ in mine)
            assert row.records >= 256 or size >= 65_536
    assert due == len(log), "a record is in no batch"
    assert tail.hash == digest
