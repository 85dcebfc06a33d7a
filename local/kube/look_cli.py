"""Looking inside the local cluster: the commands of one machine, with `kind-` before.

What only shows runs in the toolbox (docs/runbooks/toolbox.yaml) or in the ledger's
primary, as users who may look and change nothing.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import Annotated
from uuid import UUID

import numpy as np
import typer

from consumers.bank.audit.show import show
from local.kube import audit_job, choice, programs, toolbox
from local.kube.ledger_pods import CONTAINER, LEDGER, LedgerPods
from local.kube.objects import NAMESPACE
from local.kube.site import Site
from local.kube.steps import console, step
from local.kube.traffic import access
from producers.store.client import StoreClient
from producers.store.ids import uuid7s
from producers.store.transfers import Transfer, now_ms

PASSED_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],  # --help is the program's own
}
BROKERS = "once-kafka-bootstrap:9093"
AUDIT_ROLE = "audit"

app = typer.Typer()


@app.command(context_settings=PASSED_ON)
def psql(context: typer.Context) -> None:
    """psql on the ledger's primary, as role `audit`, who reads everything."""
    site = choice.cluster()
    with closing(site.api()) as api:
        leader = LedgerPods(api, site.cluster.kubeconfig).leader()
    role = f"PGOPTIONS=-c role={AUDIT_ROLE}"
    command = ["env", role, "psql", "--dbname", LEDGER, *context.args]
    _enter(site, leader["metadata"]["name"], CONTAINER, command)


@app.command(context_settings=PASSED_ON)
def kafka(context: typer.Context, tool: str) -> None:
    """A tool of Kafka's (kafka-topics) as user `tools`, who changes nothing."""
    site = choice.cluster()
    toolbox.ensure(site.cluster)
    command = [f"/opt/kafka/bin/{tool}.sh", "--bootstrap-server", BROKERS]
    command += ["--command-config", "/tmp/tools.properties", *context.args]
    _enter(site, toolbox.NAME, toolbox.KAFKA, command)


@app.command(context_settings=PASSED_ON)
def peek(context: typer.Context, topic: str = "transfers") -> None:
    """A topic, decoded, as it comes; or its newest (--count 5)."""
    site = choice.cluster()
    toolbox.ensure(site.cluster)
    command = ["python3", "-m", "consumers.console", "peek", topic, *context.args]
    _enter(site, toolbox.NAME, toolbox.OURS, command)


@app.command()
def pay(
    debit: Annotated[int, typer.Option(help="1 to 100000 may overdraw 800.00")] = 3,
    credit: Annotated[int, typer.Option(help="100001 to 100100 exist")] = 100_001,
    amount: Annotated[int, typer.Option(help="in cents")] = 250,
) -> None:
    """One payment through the Store's API, and every state that it has."""
    site = choice.cluster()
    (new,) = uuid7s(1, now_ms(), np.random.default_rng())
    transfer = Transfer(
        transfer_id=UUID(bytes=new),
        debit_account=debit,
        credit_account=credit,
        amount=amount,
        currency="EUR",
        memo="by hand",
    )
    with (
        access(site, "by-hand") as (url, token, trust),
        StoreClient(url, token, trust=trust, name="store") as store,
    ):
        typer.echo(store.send(transfer).model_dump_json(exclude_none=True))
        for status in store.events(transfer.transfer_id):
            typer.echo(status.model_dump_json(exclude_none=True))


@app.command()
def audit() -> None:
    """The nightly audit, now, as a Job; exit status 1 when an invariant is broken."""
    site = choice.cluster()
    with step("the audit, in the cluster"):
        report = audit_job.run(site.cluster)
    show(report, console)
    raise typer.Exit(0 if report.invariants_ok else 1)


def _enter(site: Site, pod: str, container: str, command: list[str]) -> None:
    """Become kubectl, which runs it there with this terminal."""
    kubectl = str(programs.command("kubectl"))
    attached = ["--stdin"]
    if sys.stdin.isatty() and sys.stdout.isatty():
        attached.append("--tty")
    where = ["--namespace", NAMESPACE, pod, "--container", container]
    environment = {**os.environ, "KUBECONFIG": str(site.cluster.kubeconfig)}
    asked = [kubectl, "exec", *attached, *where, "--", *command]
    os.execve(kubectl, asked, environment)
