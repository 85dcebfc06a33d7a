"""The Bank's verdicts: numbers and names are those of the Avro enum and of SQL."""

from __future__ import annotations

from enum import IntEnum


class Verdict(IntEnum):
    """What became of one record; the value is the symbol's index in Avro."""

    UNKNOWN = 0
    POSTED = 1
    DECLINED_UNKNOWN_ACCOUNT = 2
    DECLINED_ACCOUNT_FROZEN = 3
    DECLINED_ACCOUNT_CLOSED = 4
    DECLINED_INSUFFICIENT_FUNDS = 5
    DECLINED_CURRENCY_MISMATCH = 6
    DECLINED_SAME_ACCOUNT = 7
    DECLINED_AMOUNT_OUT_OF_RANGE = 8
    EXISTS = 9
    EXISTS_WITH_DIFFERENT_PAYLOAD = 10
    QUARANTINED = 11
    CHANGED = 12  # an account, not money
    DECLINED_ACCOUNT_EXISTS = 13
    DECLINED_ACCOUNT_NOT_EMPTY = 14


# Up to here a transfer has a row in the ledger.
DECIDED_MAX = Verdict.DECLINED_AMOUNT_OUT_OF_RANGE
# Not verdicts on the first record of an id.
REPEATS = (Verdict.EXISTS, Verdict.EXISTS_WITH_DIFFERENT_PAYLOAD)
DECLINED = frozenset(v for v in Verdict if v.name.startswith("DECLINED_"))
