"""Payments through the Store of a cluster, from several clients, until told to stop."""

from __future__ import annotations

import base64
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import UUID

import numpy as np

from local.kube import secrets
from local.kube.objects import NAMESPACE
from local.kube.site import Site
from local.processes.waiting import wait_until
from once.errors import OnceError
from producers.store.client import StoreClient
from producers.store.ids import uuid7s
from producers.store.transfers import Transfer, now_ms

# As opened by the Job of consumers/bank/k8s/overlays/kind.
PAYERS, MERCHANTS = 100_000, 100
CLIENTS = 4
BATCH = 20  # transfers in one request
PAUSE_SECONDS = 0.02
# Longer than a node needs to be found dead: a client does not give a transfer up.
DEADLINE_SECONDS = 180.0


class Traffic:
    """Counts what was promised, and every attempt that had to be repeated."""

    def __init__(
        self, url: str, *, token: str, trust: ssl.SSLContext, acknowledged: Path
    ) -> None:
        self._url, self._token, self._trust = url, token, trust
        self._log = acknowledged
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(CLIENTS)
        ]
        self._last_answer = time.monotonic()
        self._gap_seconds = 0.0
        self.states: Counter[str] = Counter()
        self.repeats: list[str] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def acknowledged(self) -> int:
        """Transfers that the Store has promised."""
        return self.states.total()

    def begin_watch(self) -> None:
        """From now on count how long nobody got an answer."""
        with self._lock:
            self._last_answer, self._gap_seconds = time.monotonic(), 0.0

    def gap_seconds(self) -> float:
        """The longest time without a promise to any client, since `begin_watch`."""
        with self._lock:
            return max(self._gap_seconds, time.monotonic() - self._last_answer)

    def stop(self) -> None:
        """Send no more; wait for the answers that are due."""
        self._leaving.set()
        for thread in self._threads:
            thread.join()

    def wait(self, more: int, timeout_seconds: float = 120.0) -> None:
        """Until so many more were promised. Raises StackError."""
        wanted = self.acknowledged + more
        wait_until(
            lambda: self.acknowledged >= wanted or bool(self.failures),
            what=f"{more} more transfers to be acknowledged",
            timeout_seconds=timeout_seconds,
        )

    def _run(self, number: int) -> None:
        chosen, ids = random.Random(number), np.random.default_rng()
        try:
            with self._client() as store:
                while not self._leaving.wait(PAUSE_SECONDS):
                    answers = store.send_all(_transfers(chosen, ids))
                    with self._lock, self._log.open("a") as log:
                        self._note_answer()
                        for answer in answers:
                            assert answer.state is not None, f"{answer.problem}"
                            log.write(f"{answer.transfer_id}\n")
                            self.states[answer.state] += 1
        except (OnceError, OSError, AssertionError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    def _note_answer(self) -> None:
        now = time.monotonic()
        self._gap_seconds = max(self._gap_seconds, now - self._last_answer)
        self._last_answer = now

    def _client(self) -> StoreClient:
        return StoreClient(
            self._url,
            self._token,
            deadline_seconds=DEADLINE_SECONDS,
            trust=self._trust,
            name="store",
            on_repeat=self._note,
        )

    def _note(self, why: str) -> None:
        self.repeats.append(f"{time.strftime('%H:%M:%S')} {why}")


@contextmanager
def access(site: Site, client: str) -> Iterator[tuple[str, str, ssl.SSLContext]]:
    """The Store's address while the block runs, a token for it, and whom to trust."""
    token = secrets.issuer(site.state).token(client)
    kept = site.cluster.get("secret", "store-tls", "--namespace", NAMESPACE)
    authority = base64.b64decode(kept["data"]["ca.crt"]).decode()
    trust = ssl.create_default_context(cadata=authority)
    with site.environment.reach(site.cluster, "store", 443) as address:
        yield f"https://{address}", token, trust


@contextmanager
def traffic(site: Site, acknowledged: Path) -> Iterator[Traffic]:
    """Traffic to the Store's Service, with a token of its own, until the block ends."""
    acknowledged.parent.mkdir(parents=True, exist_ok=True)
    acknowledged.unlink(missing_ok=True)
    with access(site, "traffic") as (url, token, trust):
        running = Traffic(url, token=token, trust=trust, acknowledged=acknowledged)
        with running:
            yield running


def _transfers(chosen: random.Random, ids: np.random.Generator) -> list[Transfer]:
    return [
        Transfer(
            transfer_id=UUID(bytes=new),
            debit_account=chosen.randint(3, PAYERS),  # 1 and 2 are the smoke test's
            credit_account=PAYERS + chosen.randint(1, MERCHANTS),
            amount=chosen.randint(1, 1_000),
            currency="EUR",
            memo="through the cluster",
        )
        for new in uuid7s(BATCH, now_ms(), ids)
    ]
