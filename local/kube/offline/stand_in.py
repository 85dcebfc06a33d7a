"""Stands in for the operators, where their images cannot be had.

Strimzi, PGO and cert-manager are not there. It reads their custom resources and makes
what they would make of them: certificates, the Secrets and Services that clients look
for, brokers and instances of Postgres as pods (operated/), topics and rights in Kafka,
roles and databases in Postgres; then it says Ready. It operates nothing: who elects a
primary is Patroni, who elects a controller is Kafka. And it is the network plug-in that
enforces NetworkPolicies (policies.py).

    python -m local.kube.offline.stand_in FOLDER      until SIGTERM

A process that Offline starts, and so no command of `python -m local`. It runs in the
network of the nodes, where the names of the cluster are known.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

import typer
from confluent_kafka.admin import AdminClient

from local.kube.api import Api, Object
from local.kube.ledger_pods import LedgerPods
from local.kube.objects import NAMESPACE
from local.kube.offline import stand_in_kafka
from local.kube.offline.authority import Authority
from local.kube.offline.engine import Engine
from local.kube.offline.policy_keeper import PolicyKeeper
from local.kube.offline.stand_in_certificates import Certificates
from local.kube.offline.stand_in_entities import EntityOperator
from local.kube.offline.stand_in_kafka import KafkaOperator
from local.kube.offline.stand_in_postgres import PostgresOperator
from local.platform.credentials import write_secret
from local.processes.errors import StackError

PAUSE_SECONDS = 1.0


class Operator(Protocol):
    """What each part of the stand-in does."""

    kinds: tuple[str, ...]

    def reconcile(self, found: Object) -> Object | None:
        """Do what this resource asks for; its status, or None while it is early."""


class StandIn:
    """One round looks at every custom resource and does what is missing."""

    def __init__(self, api: Api, operators: tuple[Operator, ...]) -> None:
        self._api = api
        self._operators = operators

    def round(self) -> None:
        """Bring everything to what the resources ask for. Raises StackError."""
        if self._api.get("Namespace", "", NAMESPACE) is None:
            return
        for operator in self._operators:
            for kind in operator.kinds:
                for found in self._api.list(kind, NAMESPACE):
                    self._reconcile(operator, found)

    def _reconcile(self, operator: Operator, found: Object) -> None:
        try:
            status = operator.reconcile(found)
        except Exception as error:  # what it works on may be away for a moment
            name = f"{found['kind']} {found['metadata']['name']}"
            say(f"{name}: {type(error).__name__}: {error}")
            return
        if status is None:
            return
        generation = found["metadata"]["generation"]
        wanted = {**status, "observedGeneration": generation}
        said = found.get("status", {})
        if any(said.get(key) != value for key, value in wanted.items()):
            self._api.set_status(found, wanted)


def say(text: str) -> None:
    """To its log."""
    typer.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


def admin(authority: Authority) -> AdminClient:
    """A client of the brokers with the rights of a broker, as Strimzi's operators."""
    pair = authority.issue(stand_in_kafka.ITSELF)
    shown, key = authority.folder / "operator.pem", authority.folder / "operator-key"
    write_secret(shown, pair.chain)
    write_secret(key, pair.key)
    bootstrap = stand_in_kafka.BOOTSTRAP
    return AdminClient(
        {
            "bootstrap.servers": (
                f"{bootstrap}.{NAMESPACE}.svc:{stand_in_kafka.BETWEEN_BROKERS}"
            ),
            "security.protocol": "SSL",
            "ssl.ca.location": str(authority.certificate),
            "ssl.certificate.location": str(shown),
            "ssl.key.location": str(key),
            "log_level": 2,
        }
    )


def main(folder: Path) -> None:
    """Work until SIGTERM; whatever fails is tried again."""
    leaving = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leaving.set())
    signal.signal(signal.SIGINT, lambda *_: leaving.set())
    kubeconfig = folder / "kubeconfig"
    keeper = PolicyKeeper(kubeconfig, Engine(folder).docker, leaving)
    keeping = threading.Thread(target=keeper.run, args=(say,), daemon=True)
    keeping.start()
    api, authority = Api(kubeconfig), Authority(folder / "authority")
    stand_in = StandIn(
        api,
        (
            Certificates(api, authority),
            KafkaOperator(api, authority),
            PostgresOperator(api, LedgerPods(api, kubeconfig)),
            EntityOperator(api, admin(authority), authority),
        ),
    )
    while not leaving.is_set():
        try:
            stand_in.round()
        except StackError as error:  # the API server may be away for a moment
            say(str(error))
        leaving.wait(PAUSE_SECONDS)
    keeping.join()
    api.close()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except StackError as error:
        sys.exit(f"stand-in: {error}")
