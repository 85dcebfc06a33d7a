"""What a Poster hands out: partitions that were opened, and batches posted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consumers.bank.batch import Slice
from consumers.bank.care import Trial
from consumers.bank.ledger import Row
from consumers.bank.position import Position
from consumers.bank.verdicts import DECIDED_MAX, REPEATS, Verdict
from once.sequence import Gap


@dataclass(slots=True)
class Posting:
    """A batch written but perhaps not yet committed.

    `verdicts` has one verdict per record of every slice, in offset order.
    """

    slices: Sequence[Slice]
    verdicts: list[list[int]]
    positions: dict[int, Position]
    marks: dict[int, dict[bytes, int]]
    gaps: dict[int, list[Gap]]
    short: set[int]
    firsts: Sequence[Mapping[int, int]]  # by slice and row of a repeat: first verdict


class Opened(NamedTuple):
    """What the ledger says of partitions that are opened."""

    ledger_id: str
    positions: dict[int, tuple[str, Position]]  # with the topic's id
    trials: dict[int, Trial]


def first_verdicts(
    slices: Sequence[Slice],
    verdicts: Sequence[Sequence[int]],
    known: Mapping[bytes, Row],
) -> list[dict[int, int]]:
    """By row of a repeat, the verdict on the first record of its id.

    That one is in the ledger (`known`), or it is an earlier record of this batch.
    """
    if not any(max(mine) >= Verdict.EXISTS for mine in verdicts):
        return [{} for _ in slices]
    here = {
        transfer_id: verdict
        for piece, mine in zip(slices, verdicts, strict=True)
        for transfer_id, verdict in zip(piece.ids, mine, strict=True)
        if verdict <= DECIDED_MAX
    }
    return [
        {
            row: (
                known[id_].verdict
                if (id_ := piece.ids[row]) in known
                else here.get(id_, 0)
            )
            for row, verdict in enumerate(mine)
            if verdict in REPEATS
        }
        for piece, mine in zip(slices, verdicts, strict=True)
    ]
