"""Makes transfers up: reproducible ones, for the demo, the load tests and trials."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from producers.store.transfers import Chunk

CURRENCY = b"EUR"


@dataclass(frozen=True, slots=True)
class Population:
    """Who pays whom: payers 1..accounts, payees accounts+1..accounts+merchants.

    `hot_share` of the transfers go to the first merchant, the others to any; amounts
    are uniform in 1..amount_max minor units.
    """

    accounts: int = 100_000
    merchants: int = 100
    hot_share: float = 0.0
    amount_max: int = 10_000


class Generator:
    """A stream of made-up transfers; the same seed makes the same payments."""

    def __init__(self, population: Population, seed: int | None = None) -> None:
        self.population = population
        self._random = np.random.default_rng(seed)
        self._ids = np.random.default_rng()  # ids never repeat, whatever the seed

    def chunk(self, count: int) -> Chunk:
        """The next `count` transfers, created now."""
        who, random = self.population, self._random
        payers = random.integers(1, who.accounts + 1, count)
        payees = random.integers(
            who.accounts + 1, who.accounts + who.merchants + 1, count
        )
        if who.hot_share:
            payees[random.random(count) < who.hot_share] = who.accounts + 1
        now_ms = time.time_ns() // 1_000_000
        return Chunk(
            transfer_ids=uuid7s(count, now_ms, self._ids),
            debit_accounts=payers.tolist(),
            credit_accounts=payees.tolist(),
            amounts=random.integers(1, who.amount_max + 1, count).tolist(),
            currencies=[CURRENCY] * count,
            memos=[""] * count,
            created_at_ms=[now_ms] * count,
        )


def uuid7s(count: int, now_ms: int, random: np.random.Generator) -> list[bytes]:
    """UUIDs of version 7 (RFC 9562, 5.7): time-ordered, so indexes stay warm."""
    octets = np.frombuffer(random.bytes(16 * count), np.uint8).reshape(count, 16).copy()
    octets[:, :6] = np.frombuffer(now_ms.to_bytes(6, "big"), np.uint8)
    octets[:, 6] = octets[:, 6] & 0x0F | 0x70
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    ids: list[bytes] = octets.view("V16").ravel().tolist()
    return ids
