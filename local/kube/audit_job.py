"""The audit inside a cluster, as a Job: what the nightly one does, with one list more.

The list of acknowledged transfers goes there in ConfigMaps, the report comes back as
the last lines of the pod's log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

from consumers.bank.audit.report import AuditReport
from local.kube import objects
from local.kube.cluster import Cluster
from local.kube.ledger_pods import LedgerPods
from local.kube.objects import NAMESPACE
from local.processes.errors import StackError
from local.processes.waiting import wait_until

CRON_JOB, NAME = "audit", "audit-of-demo"
SPACED = ("--namespace", NAMESPACE)
LINES_PER_PART = 20_000  # 740 kB; an object of the API server has at most 1 MiB
SETTLED_TIMEOUT_SECONDS = 180.0
AUDITED_TIMEOUT_SECONDS = 600.0
BEGIN = "=== report ==="
# The pod ends as the audit ended: a Job's policy looks at it.
SCRIPT = f"""set --
if [ -d /etc/acknowledged ]; then
    cat /etc/acknowledged/* > /tmp/acknowledged.log
    set -- --ack-log /tmp/acknowledged.log
fi
python3 -m consumers.bank.audit "$@" --report /tmp/audit.json
ended=$?
[ ! -f /tmp/audit.json ] || {{ echo '{BEGIN}'; cat /tmp/audit.json; }}
exit $ended
"""


def prove(
    cluster: Cluster, ledger: LedgerPods, acknowledged: Path, promised: int
) -> AuditReport:
    """Wait until all that was promised is applied, and check every invariant.

    Raises StackError when it is not applied in time, or the audit gave no report.
    """
    wait_until(
        lambda: ledger.applied() >= promised,
        what=f"{promised:,} transfers to be applied",
        timeout_seconds=SETTLED_TIMEOUT_SECONDS,
        interval_seconds=1.0,
    )
    return run(cluster, acknowledged)


def run(cluster: Cluster, acknowledged: Path | None = None) -> AuditReport:
    """The audit as of now. Raises StackError when it gave no report."""
    _delete(cluster)
    parts = list(_parts(acknowledged)) if acknowledged is not None else []
    cluster.apply(*parts, _job(cluster, len(parts)))
    try:
        return _report(cluster)
    finally:
        _delete(cluster)


def _parts(acknowledged: Path) -> Iterator[dict[str, Any]]:
    """The list, in objects that the API server takes."""
    with acknowledged.open() as lines:
        for number in count():
            part = list(islice(lines, LINES_PER_PART))
            if not part and number > 0:  # one at least, be it empty
                return
            name, lines_of_it = f"{NAME}-{number}", {"lines": "".join(part)}
            made = objects.config_map(NAMESPACE, name, lines_of_it)
            made["metadata"]["labels"]["once.payments/of"] = NAME
            yield made


def _job(cluster: Cluster, parts: int) -> dict[str, Any]:
    template = cluster.get("cronjob", CRON_JOB, *SPACED)["spec"]["jobTemplate"]
    spec: dict[str, Any] = template["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    container["command"] = ["/bin/sh", "-c", SCRIPT]
    sources = [
        {
            "configMap": {
                "name": f"{NAME}-{number}",
                "items": [{"key": "lines", "path": f"{number:06}"}],
            }
        }
        for number in range(parts)
    ]
    if sources:
        listed = {"name": "acknowledged", "projected": {"sources": sources}}
        pod["volumes"].append(listed)
        mounted = {"name": "acknowledged", "mountPath": "/etc/acknowledged"}
        container["volumeMounts"].append(mounted)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "namespace": NAMESPACE,
            "name": NAME,
            "labels": template["metadata"]["labels"],
        },
        "spec": spec,
    }


def _report(cluster: Cluster) -> AuditReport:
    def ended() -> bool:
        status = cluster.get("job", NAME, *SPACED)["status"]
        kinds = {each["type"] for each in status.get("conditions", [])}
        return bool(kinds & {"Complete", "Failed"})

    wait_until(
        ended,
        what="the audit",
        timeout_seconds=AUDITED_TIMEOUT_SECONDS,
        interval_seconds=1.0,
    )
    of_job = f"--selector=batch.kubernetes.io/job-name={NAME}"
    log = cluster.kubectl("logs", of_job, "--tail=-1", *SPACED)
    _, found, report = log.rpartition(BEGIN)
    if not found:
        raise StackError(f"the audit gave no report: {report.strip()[-600:]}")
    try:
        # A pod that was tried after it may have had its say, too.
        content, _ = json.JSONDecoder().raw_decode(report.lstrip())
        return AuditReport.model_validate(content)
    except ValueError as error:  # cut short, or not ours
        raise StackError(f"the audit's report cannot be read: {error}") from error


def _delete(cluster: Cluster) -> None:
    gone = ("--ignore-not-found", "--wait", *SPACED)
    # With its pods: their last report would be taken for the next one.
    cluster.kubectl("delete", "job", NAME, "--cascade=foreground", *gone)
    cluster.kubectl("delete", "configmap", f"--selector=once.payments/of={NAME}", *gone)
