"""Stands in for the operators, where their images cannot be had.

Strimzi, PGO and cert-manager are not there; Kafka and Postgres run beside the cluster.
It reads their custom resources and does what the operators' work comes to: topics and
rights on the real brokers, roles and databases on the real Postgres, certificates, the
Secrets and Services that clients look for; then it says Ready. It operates nothing.

    python -m local.kube.offline.stand_in FOLDER      until SIGTERM

A process that Outside starts, and so no command of `python -m local`.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Protocol

import typer

from local.kube.api import Api, Object
from local.kube.objects import NAMESPACE
from local.kube.offline.authority import Authority
from local.kube.offline.stand_in_certificates import Certificates
from local.kube.offline.stand_in_kafka import KafkaOperator
from local.kube.offline.stand_in_postgres import PostgresOperator
from local.processes.errors import StackError
from local.stack import Stack

PAUSE_SECONDS = 1.0


class Operator(Protocol):
    """What each part of the stand-in does."""

    kinds: tuple[str, ...]

    def reconcile(self, found: Object) -> Object:
        """Do what this resource asks for; its status."""

    def services(self, namespace: str) -> None:
        """Make the Services that clients look for."""


class StandIn:
    """One round looks at every custom resource and does what is missing."""

    def __init__(self, api: Api, stack: Stack, authority: Authority) -> None:
        self._api = api
        self._operators: tuple[Operator, ...] = (
            Certificates(api, authority),
            KafkaOperator(api, stack, authority),
            PostgresOperator(api, stack),
        )

    def round(self) -> None:
        """Bring everything to what the resources ask for. Raises StackError."""
        if self._api.get("Namespace", "", NAMESPACE) is None:
            return
        for operator in self._operators:
            for kind in operator.kinds:
                for found in self._api.list(kind, NAMESPACE):
                    self._reconcile(operator, found)
            operator.services(NAMESPACE)

    def _reconcile(self, operator: Operator, found: Object) -> None:
        generation = found["metadata"]["generation"]
        status = operator.reconcile(found)
        wanted = {**status, "observedGeneration": generation}
        said = found.get("status", {})
        if any(said.get(key) != value for key, value in wanted.items()):
            self._api.set_status(found, wanted)


def main(folder: Path) -> None:
    """Work until SIGTERM; whatever fails is tried again."""
    leaving = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())
    signal.signal(signal.SIGINT, lambda *_: leaving.set())
    api = Api(folder / "kubeconfig")
    stack = Stack.attach(folder / "stack")
    stand_in = StandIn(api, stack, Authority(folder / "authority"))
    while not leaving.is_set():
        try:
            stand_in.round()
        except Exception as error:  # any of three systems may be away for a moment
            typer.echo(f"{type(error).__name__}: {error}", err=True)
        leaving.wait(PAUSE_SECONDS)
    api.close()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except StackError as error:
        sys.exit(f"stand-in: {error}")
