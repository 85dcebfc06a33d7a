"""Verdicts that were told before, and the money that follows them (see restore.py)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from consumers.bank.batch import Records, Slice
from consumers.bank.codec import Fault, Reason
from consumers.bank.rules import Account, Decision, replay
from consumers.bank.verdicts import Verdict
from once import logs
from once.errors import Refused

log = logs.get(__name__)

Held = list[Records]
Change = Callable[[Sequence[int]], None]

_AGAIN = Fault(
    Reason.UNKNOWN_SCHEMA, "was set aside when it was first read; restored as told"
)


class Told:
    """Published verdicts by partition and offset, of the ranges that are restored."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._verdicts: dict[int, dict[int, int]] = {}
        self._held: dict[int, Records] = {}  # by partition, which is paused
        self.until: dict[int, int] = {}  # group offset by partition: told below it

    @property
    def active(self) -> bool:
        """Whether anything told is left to apply, or anything held to be given out."""
        return bool(self.until or self._held)

    def expect(self, partition: int, until: int) -> None:
        """Verdicts of this partition are told up to an offset."""
        self.until[partition] = until
        self._verdicts[partition] = {}

    def take(self, partition: int, position: int, results: Sequence[Any]) -> None:
        """Results of one record of the results topic."""
        mine = self._verdicts.get(partition)
        if mine is None:
            return
        for result in results:
            if position <= result["offset"] < self.until[partition]:
                mine[result["offset"]] = Verdict[result["verdict"]]

    def split(self, parts: Sequence[Records]) -> tuple[list[Records], list[Records]]:
        """Records whose verdicts are told, and those that are to be decided."""
        told: list[Records] = []
        rest: list[Records] = []
        for records in parts:
            below, others = records.split(self.until.get(records.partition, 0))
            told += [below] if below.offsets else []
            rest += [others] if others.offsets else []
        return told, rest

    def unread(self, slices: Sequence[Slice]) -> dict[int, dict[int, Fault]]:
        """Records that were set aside then and could be read now."""
        found: dict[int, dict[int, Fault]] = {}
        for piece in slices:
            for row, offset in enumerate(piece.records.offsets):
                aside = self._verdict(piece, offset) == Verdict.QUARANTINED
                if aside and row not in piece.faults:
                    found.setdefault(piece.partition, {})[offset] = _AGAIN
        return found

    def verdicts(self, slices: Sequence[Slice]) -> list[list[int]]:
        """One verdict per transfer of every slice. Raises Refused."""
        return [
            [self._verdict(piece, offset) for offset in piece.offsets]
            for piece in slices
        ]

    def ended(self, positions: Mapping[int, int], rest: Sequence[Records]) -> list[int]:
        """Partitions whose position is just what was told of them.

        A partition with a `rest` behind it is done with, too: an offset that somebody
        set by hand is no position, and must not keep the others waiting for ever.
        """
        exact = [p for p, until in self.until.items() if positions.get(p) == until]
        passed = (records.partition for records in rest)
        done = {*exact, *(p for p in passed if p in self.until)}
        for partition in sorted(done):
            log.warning("restored as told", partition=partition)
        self.forget(done)
        return exact

    def forget(self, partitions: Iterable[int]) -> None:
        """They are done with, or somebody else's."""
        for partition in partitions:
            self.until.pop(partition, None)
            self._verdicts.pop(partition, None)
            self._held.pop(partition, None)

    def held(self, rest: Sequence[Records], pause: Change, resume: Change) -> Held:
        """Records that may be decided now: none while anything told is left.

        `pause` and `resume` are told of partitions of which no more is wanted, and is.
        """
        for records in rest:
            before = self._held.get(records.partition)
            self._held[records.partition] = (
                before.joined(records) if before else records
            )
        if self.until:
            pause([records.partition for records in rest])
            return []
        held, self._held = self._held, {}
        resume(list(held))
        return [held[partition] for partition in sorted(held)]

    def _verdict(self, piece: Slice, offset: int) -> int:
        verdict = self._verdicts[piece.partition].get(offset)
        row = bisect_left(piece.records.offsets, offset)
        faulty = row in piece.faults
        if verdict is None:
            raise Refused(
                f"no result of {self._topic}[{piece.partition}]@{offset} is in the "
                "results topic (any more), so it cannot be restored; see "
                "docs/runbooks/ledger-behind.md",
                piece.partition,
            )
        if faulty and verdict != Verdict.QUARANTINED:
            raise Refused(
                f"{self._topic}[{piece.partition}]@{offset} was read when it was "
                f"decided and cannot be now ({piece.faults[row].detail}); is the "
                "registry complete? See docs/runbooks/ledger-behind.md",
                piece.partition,
            )
        return verdict


def replayed(
    slices: Sequence[Slice],
    accounts: Mapping[int, Account],
    told: Sequence[Sequence[int]],
) -> Decision:
    """What these verdicts change. Raises Refused when an account is missing."""
    try:
        return replay([piece.transfers for piece in slices], accounts, told)
    except KeyError as missing:
        account = missing.args[0]
        partition = next(
            piece.partition
            for piece in slices
            if account in piece.transfers.debit_accounts
            or account in piece.transfers.credit_accounts
        )
        raise Refused(
            f"account {account} was paid from or to, as the results say, and is not in "
            "this ledger: open it as it was, then start the Bank again; see "
            "docs/runbooks/ledger-behind.md",
            partition,
        ) from None
