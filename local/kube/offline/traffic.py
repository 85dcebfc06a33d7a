"""Payments through the Store of a cluster, from several clients, until told to stop."""

from __future__ import annotations

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
from local.kube.cluster import Cluster
from local.kube.objects import NAMESPACE
from local.kube.offline.authority import Authority
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
                        for answer in answers:
                            assert answer.state is not None, f"{answer.problem}"
                            log.write(f"{answer.transfer_id}\n")
                            self.states[answer.state] += 1
        except (OnceError, OSError, AssertionError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")

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
def traffic(cluster: Cluster, state: Path, acknowledged: Path) -> Iterator[Traffic]:
    """Traffic to the Store's Service, with a token of its own, until the block ends."""
    address = cluster.get("service", "store", "-n", NAMESPACE)["spec"]["clusterIP"]
    token = secrets.issuer(state).token("traffic")
    authority = Authority(state / "authority").certificate
    trust = ssl.create_default_context(cafile=str(authority))
    acknowledged.parent.mkdir(parents=True, exist_ok=True)
    acknowledged.unlink(missing_ok=True)
    url = f"https://{address}"
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
