"""An index of the test's own, and what is written to it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from producers.store.facts import Decided, Facts
from producers.store.index import Index
from producers.store.receipts import Receipt, by_client, new_emitter
from producers.store.states import State, Verdicts

VERDICTS = Verdicts()
NUMBER = {name: number for number, name in enumerate(VERDICTS.names)}
DECIDED = [name for name in VERDICTS.names if VERDICTS.decided(NUMBER[name])]
REPEATS = ["EXISTS", "EXISTS_WITH_DIFFERENT_PAYLOAD", "QUARANTINED", "UNKNOWN"]
MEANING = {
    "UNKNOWN": (State.COMMITTED, None),
    "POSTED": (State.POSTED, None),
    "DECLINED_UNKNOWN_ACCOUNT": (State.DECLINED, "UNKNOWN_ACCOUNT"),
    "DECLINED_ACCOUNT_FROZEN": (State.DECLINED, "ACCOUNT_FROZEN"),
    "DECLINED_ACCOUNT_CLOSED": (State.DECLINED, "ACCOUNT_CLOSED"),
    "DECLINED_INSUFFICIENT_FUNDS": (State.DECLINED, "INSUFFICIENT_FUNDS"),
    "DECLINED_CURRENCY_MISMATCH": (State.DECLINED, "CURRENCY_MISMATCH"),
    "DECLINED_SAME_ACCOUNT": (State.DECLINED, "SAME_ACCOUNT"),
    "DECLINED_AMOUNT_OUT_OF_RANGE": (State.DECLINED, "AMOUNT_OUT_OF_RANGE"),
    "EXISTS": (State.EXISTS, None),
    "EXISTS_WITH_DIFFERENT_PAYLOAD": (State.CONFLICT, None),
    "QUARANTINED": (State.QUARANTINED, None),
    "CHANGED": (State.CHANGED, None),
    "DECLINED_ACCOUNT_EXISTS": (State.DECLINED, "ACCOUNT_EXISTS"),
    "DECLINED_ACCOUNT_NOT_EMPTY": (State.DECLINED, "ACCOUNT_NOT_EMPTY"),
}
A, B = new_emitter(), new_emitter()

Open = Callable[[], Index]


def receipt(client: str = "ada", digest: bytes = b"d" * 16) -> Receipt:
    return Receipt(uuid4().bytes, client, digest)


def sent(index: Index, emitter: bytes, *receipts: Receipt) -> None:
    index.write(Facts({emitter: by_client(receipts)}))


def said(
    index: Index,
    emitter: bytes,
    transfer_id: bytes,
    verdict: str,
    first: str = "UNKNOWN",
) -> None:
    index.write(Facts(results={emitter: [decided(transfer_id, verdict, first)]}))


def decided(transfer_id: bytes, verdict: str, first: str = "UNKNOWN") -> Decided:
    """One verdict."""
    return Decided(transfer_id, [NUMBER[verdict]], [NUMBER[first]])


class Clock:
    """What the time is, for the index."""

    now = 1_000_000.0

    def time(self) -> float:
        return self.now
