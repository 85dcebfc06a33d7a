"""How far a partition has been applied, and where its chain is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

# Between COMMIT and the group's offset in Kafka lie at most three batches (one is being
# published, one waits, one is handed over), so these ends are compared with it.
RECENT_ENDS = 5


class OpenBatch(NamedTuple):
    """A batch that still grows: what its hash is over (once/chain.py)."""

    previous: bytes
    offsets: list[int]
    values: list[bytes | None]
    verdicts: list[int]


@dataclass(frozen=True, slots=True)
class Position:
    """How far one partition has been applied, and the end of its hash chain.

    `seen_until`: the log was read up to here, with nothing but markers behind the last
    record. `last_digest` is of the record at `next_offset` - 1. `recent` has earlier
    ends and the chain's hash at each. `open` is the batch with `batch_number` while it
    grows; `left_open`: another worker has begun it, so the next posting closes it.
    """

    next_offset: int
    batch_number: int
    hash: bytes
    seen_until: int = 0
    last_digest: bytes | None = None
    recent: tuple[tuple[int, bytes], ...] = ()
    open: OpenBatch | None = None
    left_open: bool = False

    def with_this_end(self) -> tuple[tuple[int, bytes], ...]:
        """The recent ends, once this one is an earlier one, too."""
        return (*self.recent, (self.next_offset, self.hash))[-RECENT_ENDS:]

    def hash_at(self, offset: int) -> bytes | None:
        """The chain's hash at a recent end, None when `offset` is none of them."""
        return dict(self.with_this_end()).get(offset)


def digest_of(value: bytes | None) -> bytes:
    """What a position remembers of its last record's value."""
    return hashlib.blake2b(value or b"", digest_size=16).digest()
