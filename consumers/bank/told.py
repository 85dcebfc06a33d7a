"""Verdicts that were told before, and the money that follows them (see restore.py)."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from consumers.bank.batch import Records, Slice
from consumers.bank.codec import Fault, Reason
from consumers.bank.rules import Account, Decision, replay
from consumers.bank.verdicts import Verdict
from once import logs
from once.errors import Refused
from once.published import Published

log = logs.get(__name__)

# An account may be opened in another partition, which is not restored so far yet.
ACCOUNT_SECONDS_MAX = 600.0
SAID_AGAIN_SECONDS = 10.0

NOT_TOLD = -1  # in the place of a verdict

Numbers = npt.NDArray[np.int64]
Held = list[Records]
Change = Callable[[Sequence[int]], None]

_AGAIN = Fault(
    Reason.UNKNOWN_SCHEMA, "was set aside when it was first read; restored as told"
)


class Verdicts:
    """What was told of one partition: nine bytes for each record."""

    def __init__(self) -> None:
        self._offsets: list[Numbers] = []
        self._verdicts: list[npt.NDArray[np.int8]] = []

    def add(self, offsets: Numbers, verdicts: Numbers) -> None:
        """These records have these verdicts."""
        if len(offsets):
            self._offsets.append(offsets)
            self._verdicts.append(verdicts.astype(np.int8))

    def of(self, offsets: Sequence[int]) -> list[int]:
        """The verdict on the record at each offset, NOT_TOLD where there is none."""
        if len(self._offsets) > 1:
            self._sort()
        if not self._offsets:
            return [NOT_TOLD] * len(offsets)
        (known,), (verdicts,) = self._offsets, self._verdicts
        asked = np.array(offsets, np.int64)
        found = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        told = np.where(known[found] == asked, verdicts[found], NOT_TOLD)
        answer: list[int] = told.tolist()
        return answer

    def _sort(self) -> None:
        offsets = np.concatenate(self._offsets)
        order = np.argsort(offsets, kind="stable")
        self._offsets = [offsets[order]]
        self._verdicts = [np.concatenate(self._verdicts)[order]]


class Unopened(Refused):
    """An account that was paid from or to, as was told, is not there (yet)."""


class Told:
    """Published verdicts by partition and offset, of the ranges that are restored."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._verdicts: dict[int, Verdicts] = {}
        self._held: dict[int, Records] = {}  # by partition, which is paused
        self._postponed: dict[int, Records] = {}  # paused, too
        self._since: dict[int, tuple[float, float]] = {}  # postponed; said again
        self.until: dict[int, int] = {}  # group offset by partition: told below it

    @property
    def active(self) -> bool:
        """Whether anything told is left to apply, or anything held to be given out."""
        return bool(self.until or self._held)

    def expect(self, partition: int, until: int) -> None:
        """Verdicts of this partition are told up to an offset."""
        self.until[partition] = until
        self._verdicts[partition] = Verdicts()

    def take(self, position: int, told: Published) -> None:
        """Results of one record of the results topic, as far as they are expected."""
        mine = self._verdicts.get(told.partition)
        if mine is None:
            return
        counts = (told.offsets >= position) & (
            told.offsets < self.until[told.partition]
        )
        mine.add(told.offsets[counts], told.verdicts[counts])

    def split(self, parts: Sequence[Records]) -> tuple[list[Records], list[Records]]:
        """Records whose verdicts are told, and those that are to be decided."""
        told: list[Records] = []
        rest: list[Records] = []
        waiting, self._postponed = self._postponed, {}
        for records in parts:
            before = waiting.get(records.partition)
            joined = records if before is None else before.joined(records)
            waiting[records.partition] = joined
        for _, records in sorted(waiting.items()):
            below, others = records.split(self.until.get(records.partition, 0))
            told += [below] if below.offsets else []
            rest += [others] if others.offsets else []
        return told, rest

    def postpone(self, records: Records, why: Unopened) -> None:
        """These cannot be applied yet. Raises Unopened when that takes too long."""
        partition, now = records.partition, time.monotonic()
        began, said_at = self._since.setdefault(partition, (now, 0.0))
        if now - began > ACCOUNT_SECONDS_MAX:
            raise why
        if now - said_at > SAID_AGAIN_SECONDS:
            log.warning("waiting for another partition", reason=str(why))
            self._since[partition] = (began, now)
        self._postponed[partition] = records

    def applied(self, partition: int) -> bool:
        """These are, and had been postponed: whether it is to be read on."""
        return self._since.pop(partition, None) is not None

    def unread(self, slices: Sequence[Slice]) -> dict[int, dict[int, Fault]]:
        """Records that were set aside then and could be read now. Raises Refused."""
        found: dict[int, dict[int, Fault]] = {}
        for piece in slices:
            offsets = piece.records.offsets
            for row, verdict in enumerate(self._told(piece, offsets)):
                if verdict == Verdict.QUARANTINED and row not in piece.faults:
                    found.setdefault(piece.partition, {})[offsets[row]] = _AGAIN
        return found

    def told(self, partition: int, offsets: Sequence[int]) -> list[int]:
        """What was told of these records, NOT_TOLD where nothing was."""
        return self._verdicts[partition].of(offsets)

    def verdicts(self, slices: Sequence[Slice]) -> list[list[int]]:
        """One verdict per well-formed record of every slice. Raises Refused."""
        return [self._told(piece, piece.offsets) for piece in slices]

    def ended(self, positions: Mapping[int, int], rest: Sequence[Records]) -> list[int]:
        """Partitions whose position is just what was told of them.

        A partition with a `rest` behind it is done with, too: an offset that somebody
        set by hand is no position, and must not keep the others waiting for ever.
        """
        exact = [p for p, until in self.until.items() if positions.get(p) == until]
        waiting = self._postponed.keys()  # what was told comes first
        passed = {records.partition for records in rest} - waiting
        done = {*exact, *(p for p in passed if p in self.until)}
        for partition in sorted(done):
            log.warning("restored as told", partition=partition)
            self.until.pop(partition)
            self._verdicts.pop(partition)
        return exact

    def forget(self, partitions: Iterable[int]) -> None:
        """They are done with, or somebody else's."""
        for partition in partitions:
            self.until.pop(partition, None)
            self._verdicts.pop(partition, None)
            self._held.pop(partition, None)
            self._postponed.pop(partition, None)
            self._since.pop(partition, None)

    def held(self, rest: Sequence[Records], pause: Change, resume: Change) -> Held:
        """Records that may be decided now: none while anything told can be applied.

        `pause` and `resume` are told of partitions of which no more is wanted, and is.
        """
        for records in rest:
            before = self._held.get(records.partition)
            self._held[records.partition] = (
                before.joined(records) if before else records
            )
        if self.until.keys() - self._postponed.keys():
            pause([records.partition for records in rest])
            return []
        # All is told; or what is left waits for an account that one of these may open.
        held, self._held = self._held, {}
        for partition in self.until:
            if partition in held:
                self._held[partition] = held.pop(partition)
        resume(list(held))
        return [held[partition] for partition in sorted(held)]

    def _told(self, piece: Slice, offsets: Sequence[int]) -> list[int]:
        """What was told of records of a slice. Raises Refused."""
        told = self._verdicts[piece.partition].of(offsets)
        if NOT_TOLD not in told and not piece.faults:
            return told
        for offset, verdict in zip(offsets, told, strict=True):
            where = f"{self._topic}[{piece.partition}]@{offset}"
            if verdict == NOT_TOLD:
                raise Refused(
                    f"no result of {where} is in the results topic (any more), so it "
                    "cannot be restored; see docs/runbooks/ledger-behind.md",
                    piece.partition,
                )
            fault = piece.faults.get(bisect_left(piece.records.offsets, offset))
            if fault is not None and verdict != Verdict.QUARANTINED:
                raise Refused(
                    f"{where} was read when it was decided and cannot be now "
                    f"({fault.detail}); is the registry complete? See "
                    "docs/runbooks/ledger-behind.md",
                    piece.partition,
                )
        return told


def replayed(
    slices: Sequence[Slice],
    accounts: Mapping[int, Account],
    told: Sequence[Sequence[int]],
) -> Decision:
    """What these verdicts change. Raises Unopened when an account is missing."""
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
        raise Unopened(
            f"account {account} was paid from or to, as the results say, and is not in "
            "this ledger; it was opened in another partition, which is not restored so "
            "far yet, or by hand: see docs/runbooks/ledger-behind.md",
            partition,
        ) from None
