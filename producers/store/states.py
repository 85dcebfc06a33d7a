"""The life of a transfer as its client sees it.

    queued ── committed ──┬── posted
                          ├── declined     with the reason
                          ├── exists       decided before, through another way in;
                          │                as posted or declined, if that is known
                          ├── conflict     the id belongs to a different payment
                          ├── quarantined  the Bank could not read it
                          └── changed      an account is as was asked for

queued: in this Store's journal or queue. committed: in Kafka, nothing can undo it. The
others are the Bank's word and final.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from once import resources
from once.registry import load_schema
from producers.store.receipts import Receipt


class State(StrEnum):
    """How far a transfer is."""

    QUEUED = "queued"
    COMMITTED = "committed"
    POSTED = "posted"
    DECLINED = "declined"
    EXISTS = "exists"
    CONFLICT = "conflict"
    QUARANTINED = "quarantined"
    CHANGED = "changed"  # an account, as was asked for

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (State.QUEUED, State.COMMITTED)


class Status(NamedTuple):
    """State of one transfer, why it was declined, and the digest of what was sent.

    `first` is what the same payment was before, when the state is exists: posted or
    declined, for that reason. None: not known.
    """

    state: State
    digest: bytes
    reason: str | None = None
    first: State | None = None

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state.final


class Sent(NamedTuple):
    """One time that a transfer was sent, and the Bank's verdict if it is known.

    `first` is the verdict on the id's first record, where `verdict` is one on a repeat.
    """

    receipt: Receipt
    verdict: int | None
    first: int = 0  # UNKNOWN


def _verdicts() -> list[str]:
    """Names of the verdicts, by the number that Avro gives them."""
    schema = load_schema(resources.find("avro/transfer-results.avsc"))
    results = next(f for f in schema["fields"] if f["name"] == "results")
    fields = results["type"]["items"]["fields"]
    symbols: list[str] = next(f for f in fields if f["name"] == "verdict")["type"][
        "symbols"
    ]
    return symbols


class Verdicts:
    """What the numbers of verdicts mean here."""

    def __init__(self) -> None:
        self.names = _verdicts()
        self._meaning = [_meaning(name) for name in self.names]

    def name(self, verdict: int) -> str:
        """Its symbol; of a newer Bank's, which this Store does not know, the number."""
        return self.names[verdict] if verdict < len(self.names) else str(verdict)

    def decided(self, verdict: int | None) -> bool:
        """Whether this verdict is the transfer's own, not one on a repeat."""
        return verdict is not None and self._meaning[verdict][0] in (
            State.POSTED,
            State.CHANGED,
            State.DECLINED,
        )

    def status(self, sent: Iterable[Sent]) -> Status | None:
        """The status of all the times that one client sent one id; None: never.

        A retry is another sending: the first decision counts, repeats have no effect.
        While one has no verdict it may be the one that decides, so nothing is final.
        """
        best: Sent | None = None
        for each in sent:
            if best is None or self._rank(each) > self._rank(best):
                best = each
        if best is None:
            return None
        if best.verdict is None:
            return Status(State.COMMITTED, best.receipt.digest)
        state, reason = self._meaning[best.verdict]
        first: State | None = None
        # Of a conflict nothing is told: the first payment may be another client's.
        if (
            state is State.EXISTS
            and best.first is not None
            and self.decided(best.first)
        ):
            first, reason = self._meaning[best.first]
        return Status(state, best.receipt.digest, reason, first)

    def _rank(self, sent: Sent) -> int:
        if sent.verdict is None or not self._meaning[sent.verdict][0].final:
            return 2
        if self.decided(sent.verdict):
            return 3
        return 1 if self.decided(sent.first) else 0


def _meaning(name: str) -> tuple[State, str | None]:
    if name.startswith("DECLINED_"):
        return State.DECLINED, name.removeprefix("DECLINED_")
    known = {
        "POSTED": State.POSTED,
        "EXISTS": State.EXISTS,
        "EXISTS_WITH_DIFFERENT_PAYLOAD": State.CONFLICT,
        "QUARANTINED": State.QUARANTINED,
        "CHANGED": State.CHANGED,
    }
    # A newer Bank's verdict: decided, but this Store cannot say how before an upgrade.
    return known.get(name, State.COMMITTED), None
