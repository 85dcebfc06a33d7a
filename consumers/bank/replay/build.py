"""Applies the log to an empty ledger, cut as the first one has cut it.

With `told`, verdicts are those of the results; without, they are decided anew, by the
rules of today and by limits that may be others, and what differs is counted.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from consumers.bank.batch import Slice, decode
from consumers.bank.change import Change
from consumers.bank.codec import TransferCodec
from consumers.bank.position import Position
from consumers.bank.posted import Posting
from consumers.bank.posting import Poster
from consumers.bank.replay.log import Partition
from consumers.bank.replay.plan import Cut
from consumers.bank.told import Told, Unopened
from consumers.bank.verdicts import Verdict
from once.errors import Conflict, Refused
from once.metrics import Laps

EXAMPLES_MAX = 20


@dataclass(slots=True)
class Anew:
    """What was told, and would be decided otherwise today."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def note(self, where: str, told: int, now: int) -> None:
        """One record."""
        was, is_ = Verdict(told).name, Verdict(now).name
        self.counts[was, is_] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(f"{where} was {was}, and would be {is_}")


@dataclass(slots=True)
class _Piece:
    """Records of one kind of one batch; `closes`: its batch ends with them."""

    piece: Slice
    closes: bool


class Builder:
    """Fills one ledger through a poster of its own. Methods raise OnceError."""

    def __init__(
        self,
        poster: Poster,
        codec: TransferCodec,
        told: Told,
        *,
        anew: Anew | None = None,
        limits: Mapping[int, int] | None = None,
    ) -> None:
        """`limits` are credit limits by account, in the place of those asked for."""
        self._poster = poster
        self._codec = codec
        self._told = told
        self._anew = anew
        self._limits = limits or {}
        self._waiting: dict[int, deque[_Piece]] = {}
        self._why: dict[int, Unopened] = {}
        self.records = 0

    @property
    def positions(self) -> Mapping[int, Position]:
        """How far each partition is applied."""
        return self._poster.positions

    def take(self, cut: Cut, log: Partition) -> None:
        """Apply one batch, as far as the accounts that it names are open."""
        records = log.until(cut.end)
        slices = decode([records], self._codec)
        aside = self._told.unread(slices)
        if aside:
            slices = decode([records], self._codec, aside)
        pieces = self._waiting.setdefault(cut.partition, deque())
        pieces += [_Piece(piece, closes=False) for piece in slices]
        pieces[-1].closes = cut.closed
        self._drain(cut.partition)

    def close(self, partition: int) -> None:
        """Here a batch of the first ledger ends: if small, a worker had gone and left
        it."""
        position = self._poster.positions[partition]
        if position.open is not None:
            self._poster.positions[partition] = replace(
                position, open=None, left_open=True
            )

    def end(self) -> None:
        """Raises Refused when something could not be applied."""
        for partition in sorted(self._waiting):
            self._drain(partition)
        for why in self._why.values():
            raise Refused(str(why))

    def _drain(self, partition: int) -> None:
        """Apply what can be; an account that it opens may let the others go on."""
        ready = [partition]
        while ready:
            here = ready.pop()
            opened = self._apply(here)
            if opened:
                ready += [each for each in self._why if each != here]

    def _apply(self, partition: int) -> bool:
        """Whether an account may have been opened."""
        pieces, opened = self._waiting[partition], False
        self._why.pop(partition, None)
        while pieces:
            try:
                self._write(pieces[0])
            except Unopened as why:
                self._why[partition] = why
                break
            opened = opened or bool(pieces.popleft().piece.changes)
        return opened

    def _write(self, due: _Piece) -> None:
        piece, poster = due.piece, self._poster
        if self._limits and piece.changes:
            piece = replace(piece, changes=self._with_limits(piece))
        told = self._told.verdicts([piece])
        posting = self._written(piece, None if self._anew else told)
        poster.commit(posting)
        self.records += len(piece.records.offsets)
        if due.closes:
            self.close(piece.partition)
        if self._anew is not None:
            self._compare(piece, told[0], posting.verdicts[0])

    def _written(self, piece: Slice, told: Sequence[Sequence[int]] | None) -> Posting:
        while True:
            try:
                return self._poster.write([piece], Laps(), told)
            except Conflict:
                continue  # a repeat: its id is looked up now, as the Bank does

    def _with_limits(self, piece: Slice) -> list[Change]:
        return [
            (
                change._replace(
                    asked=change.asked._replace(
                        credit_limit=self._limits[change.asked.account]
                    )
                )
                if change.asked.account in self._limits
                else change
            )
            for change in piece.changes
        ]

    def _compare(self, piece: Slice, told: Sequence[int], now: Sequence[int]) -> None:
        assert self._anew is not None
        decided = [v for row, v in enumerate(now) if row not in piece.faults]
        for offset, was, is_ in zip(piece.offsets, told, decided, strict=True):
            if was != is_:
                self._anew.note(f"[{piece.partition}]@{offset}", was, is_)
