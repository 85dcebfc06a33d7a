"""A change of an account, as its record asks for it."""

from __future__ import annotations

from typing import NamedTuple


class Asked(NamedTuple):
    """What a repeat of a change_id must have in common with the first one.

    `currency`, `credit_limit` (minor units) and `status` (open, frozen, closed) are
    None where they stay as they are.
    """

    account: int
    must_be_new: bool
    currency: str | None
    credit_limit: int | None
    status: str | None
    reason: str
    changed_by: str


class Change(NamedTuple):
    """One well-formed change."""

    change_id: bytes
    asked: Asked
    created_at_ms: int
