"""A few payments through the HTTP API, beside the demo's load: one after the other."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Self

import numpy as np

from local.platform.accounts import ACCOUNTS, MERCHANTS
from once.errors import OnceError
from producers.store.client import StoreClient
from producers.store.ids import uuid7
from producers.store.transfers import Transfer, now_ms

PAUSE_SECONDS = 0.2  # it shows that payments live; the load is made elsewhere
WAIT_SECONDS = 10.0
BATCH_TRANSFERS = 500


class ApiTraffic:
    """Sends until it is left; counts by state what the API has answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._random = random.Random(1)
        self._ids = np.random.default_rng()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)
        self.states: Counter[str] = Counter()
        self.failure: str | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more; wait for the last answer."""
        self._leaving.set()
        self._thread.join()

    @property
    def sent(self) -> int:
        """Transfers that were promised."""
        return self.states.total()

    def __str__(self) -> str:
        known = ", ".join(f"{count} {state}" for state, count in self.states.items())
        return f"through the API: {known or 'nothing yet'}"

    def _run(self) -> None:
        try:
            with StoreClient(self._url) as store:
                batch = [self._transfer() for _ in range(BATCH_TRANSFERS)]
                for answer in store.send_all(batch):
                    assert answer.state is not None, f"refused: {answer.problem}"
                    self.states[f"{answer.state} in a batch"] += 1
                while not self._leaving.wait(PAUSE_SECONDS):
                    status = store.send(self._transfer(), wait_seconds=WAIT_SECONDS)
                    self.states[status.state] += 1
        except (OnceError, AssertionError) as error:
            self.failure = str(error)

    def _transfer(self) -> Transfer:
        return Transfer(
            transfer_id=uuid7(now_ms(), self._ids),
            debit_account=self._random.randint(1, ACCOUNTS),
            credit_account=ACCOUNTS + self._random.randint(1, MERCHANTS),
            amount=self._random.randint(1, 10_000),
            currency="EUR",
            memo="through the API",
        )
