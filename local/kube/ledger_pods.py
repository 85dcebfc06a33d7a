"""SQL to the ledger of a cluster, as PGO itself sends it: by psql, in the primary."""

from __future__ import annotations

import subprocess
from pathlib import Path

from local.kube import programs
from local.kube.api import Api, Object
from local.kube.objects import NAMESPACE
from local.platform.watch import APPLIED
from local.processes import commands
from local.processes.errors import StackError

LEDGER = "ledger"
CLUSTER = "postgres-operator.crunchydata.com/cluster"
ROLE = "postgres-operator.crunchydata.com/role"
LEADER, FOLLOWER = "master", "replica"  # PGO's words
CONTAINER = "database"
ANSWER_SECONDS_MAX = 30.0
SUPERUSER = "postgres"


class LedgerPods:
    """Whoever leads, and what it answers."""

    def __init__(self, api: Api, kubeconfig: Path) -> None:
        self._api = api
        self._kubeconfig = kubeconfig

    def instances(self) -> list[Object]:
        """Its pods, whatever their state."""
        return [
            pod
            for pod in self._api.list("Pod", NAMESPACE)
            if pod["metadata"]["labels"].get(CLUSTER) == LEDGER
        ]

    def primary(self) -> Object | None:
        """The pod that holds the lease, or none.

        Its label says so, too; but that of a pod whose node has died says it for ever.
        """
        lease = self._api.get("Endpoints", NAMESPACE, f"{LEDGER}-ha")
        holder = (lease or {}).get("metadata", {}).get("annotations", {}).get("leader")
        return self._api.get("Pod", NAMESPACE, holder) if holder else None

    def leader(self) -> Object:
        """The same, where somebody must hold it. Raises StackError."""
        primary = self.primary()
        if primary is None:
            raise StackError("no instance of the ledger holds the lease: look again")
        return primary

    def psql(self, statements: str, database: str = "postgres") -> str:
        """What they print, without frills. Raises StackError.

        They are not one transaction, and the first that fails is the last.
        """
        where = ["--namespace", NAMESPACE, self.leader()["metadata"]["name"]]
        cache = f"--cache-dir={self._kubeconfig.parent / 'kubectl'}"
        kubectl = [str(programs.command("kubectl")), cache, "exec", "--stdin", *where]
        psql = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        psql += ["--set", "ON_ERROR_STOP=1", "--username", SUPERUSER]
        psql += ["--dbname", database, "--file", "-"]
        try:
            return commands.run(
                [*kubectl, "--container", CONTAINER, "--", *psql],
                "psql in the ledger's primary",
                environment={"KUBECONFIG": str(self._kubeconfig)},
                stdin=statements,
                timeout_seconds=ANSWER_SECONDS_MAX,
            )
        except subprocess.TimeoutExpired as error:  # its node is cut off
            raise StackError(f"the ledger's primary does not answer: {error}") from None

    def applied(self) -> int:
        """Records applied so far, the declined and quarantined ones too."""
        return int(self.psql(APPLIED, LEDGER))
