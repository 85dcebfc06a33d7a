"""What the group's offset in Kafka says beside its number: which ledger it belongs to.

The metadata of a committed offset names the ledger, the batch that ends there and the
chain's hash after it. So an older copy of the ledger, another ledger and an offset that
somebody has set by hand are told apart.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from consumers.bank.position import Position


class Origin(NamedTuple):
    """Who committed an offset, and after which batch; None: in the middle of one."""

    ledger_id: str
    batch_number: int | None
    hash: str | None


def metadata(ledger_id: str, position: Position | None) -> str:
    """The text to commit with an offset: this position, or within a batch (None)."""
    origin = Origin(
        ledger_id,
        position.batch_number if position else None,
        position.hash.hex() if position else None,
    )
    return json.dumps(origin._asdict())


def origin_of(text: str | None) -> Origin | None:
    """Who committed it; None: a tool, a person, or a Bank from before this was told."""
    try:
        return Origin(**json.loads(text or ""))
    except (ValueError, TypeError):
        return None
