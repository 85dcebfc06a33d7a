"""The demo on the cluster: payments flow while nodes die; the audit has the last word.

Each worker has a broker, an instance of the ledger and pods of Store and Bank, so each
of these faults takes one of everything:

    primary     the node of the ledger's primary dies, and comes back
    broker      another node with a broker dies, and comes back
    zone        the network of a zone is cut, and mended
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from rich.console import Console

from consumers.bank.audit.report import AuditReport
from consumers.bank.audit.show import show
from local.kube import audit_job, pods
from local.kube.cluster import Cluster
from local.kube.ledger_pods import LedgerPods
from local.kube.site import Site
from local.kube.traffic import Traffic, traffic
from local.processes.errors import StackError
from local.processes.waiting import wait_until

REPORT = Path("build/reports/kind-demo.json")
MOVED_TIMEOUT_SECONDS = 240.0
WHOLE_TIMEOUT_SECONDS = 300.0
HEARTBEAT_SECONDS = 0.5
CALM = 1_000  # payments before, between and after


@dataclass(frozen=True)
class Blow:
    """What a fault did to those who pay."""

    fault: str
    node: str
    answer_gap_seconds: float  # the Store promised nothing for so long
    ledger_gap_seconds: float  # and the Bank posted nothing for so long
    whole_again_seconds: float  # from the cure until every pod was ready
    attempts_again: int


@dataclass
class Proof:
    """Payments on their way, and what the audit says of them in the end."""

    sent: Traffic
    report: AuditReport = field(
        init=False
    )  # there when the block of `proved` has ended


@contextmanager
def proved(site: Site, acknowledged: Path) -> Iterator[Proof]:
    """Traffic while the block runs; after it, the audit.

    Raises StackError when a client gave up or a promise was not kept in time.
    """
    with closing(site.api()) as api:
        ledger = LedgerPods(api, site.cluster.kubeconfig)
        before = ledger.applied()
        with traffic(site, acknowledged) as sent:
            proof = Proof(sent)
            yield proof
        if sent.failures:
            raise StackError(f"a client gave up: {sent.failures[0]}")
        promised = before + sent.acknowledged
        proof.report = audit_job.prove(site.cluster, ledger, acknowledged, promised)


class Heartbeat:
    """Watches the ledger grow: the longest time in which it did not."""

    def __init__(self, ledger: LedgerPods) -> None:
        self._ledger = ledger
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.gap_seconds = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()

    def _watch(self) -> None:
        grew, applied = time.monotonic(), 0
        while not self._leaving.wait(HEARTBEAT_SECONDS):
            try:
                now = self._ledger.applied()
            except StackError:  # nobody leads
                now = applied
            if now > applied:
                grew, applied = time.monotonic(), now
            self.gap_seconds = max(self.gap_seconds, time.monotonic() - grew)


def run(site: Site, console: Console) -> bool:
    """All faults, one after the other; whether all invariants hold."""
    blows: list[Blow] = []
    with proved(site, site.state / "acknowledged.log") as proof:
        sent = proof.sent
        for fault in FAULTS:
            sent.wait(CALM)
            console.print(f"{sent.acknowledged:,} acknowledged; fault: {fault}")
            blows.append(strike(site, sent, fault))
            console.print(_said(blows[-1]))
        sent.wait(CALM)
        console.print(f"{sent.acknowledged:,} acknowledged in all; auditing ...")
    report = proof.report
    show(report, console)
    result = {
        "acknowledged": sent.acknowledged,
        "lost": report.invariants["I1"].violations,
        "duplicated": report.invariants["I2"].violations,
        "invariants_ok": report.invariants_ok,
        "faults": [asdict(blow) for blow in blows],
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(result, indent=2) + "\n")
    console.print_json(data=result)
    return report.invariants_ok


def strike(site: Site, sent: Traffic, fault: str) -> Blow:
    """Hurt a node, see the others take over, and cure it. Raises StackError."""
    cluster = site.cluster
    hurt, cure = FAULTS[fault]
    again = len(sent.repeats)
    with closing(site.api()) as api:
        ledger = LedgerPods(api, cluster.kubeconfig)
        node = _chosen(ledger, fault)
        with Heartbeat(ledger) as heartbeat:
            sent.begin_watch()
            hurt(cluster, node)
            try:
                cluster.wait_lost(node)
                wait_moved(cluster, node)
                sent.wait(CALM)
            finally:
                cured = time.monotonic()
                cure(cluster, node)
            wait_whole(cluster)
    return Blow(
        fault=fault,
        node=node,
        answer_gap_seconds=round(sent.gap_seconds(), 1),
        ledger_gap_seconds=round(heartbeat.gap_seconds, 1),
        whole_again_seconds=round(time.monotonic() - cured, 1),
        attempts_again=len(sent.repeats) - again,
    )


FAULTS: dict[
    str, tuple[Callable[[Cluster, str], None], Callable[[Cluster, str], None]]
] = {
    "primary": (Cluster.kill_node, Cluster.start_node),
    "broker": (Cluster.kill_node, Cluster.start_node),
    "zone": (Cluster.cut_off, Cluster.reconnect),
}


def _chosen(ledger: LedgerPods, fault: str) -> str:
    """The node of the primary, or for a broker one without it."""
    leads: str = ledger.leader()["spec"]["nodeName"]
    others = {pod["spec"]["nodeName"] for pod in ledger.instances()} - {leads}
    return min(others) if fault == "broker" and others else leads


def wait_moved(cluster: Cluster, away: str) -> None:
    """Until Store and Bank are ready, with no pod on that node. Raises StackError."""

    def moved() -> bool:
        found = pods.services(cluster)
        return bool(found) and all(
            pod["spec"].get("nodeName") != away and pods.is_ready(pod) for pod in found
        )

    wait_until(
        moved,
        what=f"pods to leave {away}",
        timeout_seconds=MOVED_TIMEOUT_SECONDS,
        interval_seconds=1.0,
    )


def wait_whole(cluster: Cluster) -> None:
    """Until every broker and every instance of the ledger is ready, and all others.

    Raises StackError.
    """

    def whole() -> bool:
        found = [*pods.services(cluster), *pods.data(cluster)]
        return all(pods.is_ready(pod) for pod in found)

    wait_until(
        whole,
        what="every pod to be ready",
        timeout_seconds=WHOLE_TIMEOUT_SECONDS,
        interval_seconds=1.0,
    )


def _said(blow: Blow) -> str:
    return (
        f"  {blow.node}: at most {blow.answer_gap_seconds:.0f} s without an answer, "
        f"{blow.ledger_gap_seconds:.0f} s without a posting, {blow.attempts_again} "
        f"attempts again; whole {blow.whole_again_seconds:.0f} s after the cure"
    )
