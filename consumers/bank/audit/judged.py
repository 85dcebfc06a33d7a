"""What following the log gives out: records, each with the verdict that it has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Judged:
    """Records of one partition in offset order, with the verdict that each has."""

    offsets: list[int]
    values: list[bytes | None]
    ids: list[bytes]
    verdicts: list[int]
    emitters: list[tuple[bytes, int, int]]  # emitter, sequence, offset
    unjudged: list[int]  # offsets of records of which nobody knows whose they are
    own: int  # records that have a ledger row of their own
