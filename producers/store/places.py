"""Where the records of an account go: remembered, for all emitters of a Store."""

from __future__ import annotations

from once.partitioner import partition_for

ACCOUNTS_REMEMBERED_MAX = 1_000_000  # 180 bytes each


class Places:
    """Key and partition by account. Not thread-safe: one thread drives all emitters."""

    def __init__(self, partition_count: int) -> None:
        self.partition_count = partition_count
        # Public for the hot path: a call costs as much as the look-up.
        self.known: dict[int, tuple[bytes, int]] = {}

    def of(self, account: int) -> tuple[bytes, int]:
        """The account's key and partition."""
        known = self.known.get(account)
        if known is not None:
            return known
        if len(self.known) >= ACCOUNTS_REMEMBERED_MAX:
            self.known.clear()
        key = b"%d" % account
        place = self.known[account] = (key, partition_for(key, self.partition_count))
        return place
