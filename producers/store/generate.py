"""Makes transfers up: reproducible ones, for the demo, the load tests and trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.store.ids import uuid7s
from producers.store.transfers import Chunk, now_ms

CURRENCY = b"EUR"


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def chunk(self, count: int, created_ms: NDArray[np.int64] | None = None) -> Chunk:
        """The next `count` transfers, created now, or each at its own time."""
        who, random = self.population, self._random
        payers = random.integers(1, who.accounts + 1, count)
        payees = random.integers(
            who.accounts + 1, who.accounts + who.merchants + 1, count
        )
        if who.hot_share:
            payees[random.random(count) < who.hot_share] = who.accounts + 1
        if created_ms is None:
            created_ms = np.full(count, now_ms())
        return Chunk(
            transfer_ids=uuid7s(count, created_ms, self._ids),
            debit_accounts=payers.tolist(),
            credit_accounts=payees.tolist(),
            amounts=random.integers(1, who.amount_max + 1, count).tolist(),
            currencies=[CURRENCY] * count,
            memos=[""] * count,
            created_at_ms=created_ms.tolist(),
        )
