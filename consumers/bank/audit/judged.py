"""What following the log gives out: records, each with the verdict that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Ledger rows of one partition, which came from the records followed, by column."""

    offsets: Numbers
    payers: Numbers
    payees: Numbers
    amounts: Numbers
    currencies: npt.NDArray[np.bytes_]  # three letters each
    verdicts: Numbers
    debits_after: Numbers


class Emitters(NamedTuple):
    """Records that have an emitter: which one, and under which number, by column."""

    emitters: list[bytes]
    sequences: Numbers
    offsets: Numbers


@dataclass(slots=True)
class Judged:
    """Records of one partition in offset order, with the verdict that each has."""

    offsets: Numbers
    values: list[bytes | None]
    ids: list[bytes]
    senders: list[bytes | None]  # emitters, where they were read
    verdicts: list[int]
    emitters: Emitters
    unjudged: list[int]  # offsets of records of which nobody knows whose they are
    own: int  # records that have a ledger row of their own
    rows: Rows  # those rows
