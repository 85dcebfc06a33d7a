"""The local cluster: `make kind-up`, `kind-push`, `kind-demo`, `kind-down`.

With Docker and a way to image registries, operators run Kafka and Postgres in it. Where
there is no engine and no registry, all of it is built here, and Kafka and Postgres run
beside the cluster (the environment `kind-offline`).
"""

from __future__ import annotations

import sys

import typer

from local.kube import programs
from local.kube.offline.demo import require_offline, run
from local.kube.site import NEEDED, Site, console, say
from local.processes.errors import StackError

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


@app.command()
def up() -> None:
    """Create the cluster and deploy this working tree to it."""
    site = Site()
    site.up()
    _show(site)


@app.command()
def push(message: str = "kind-push") -> None:
    """Deploy this working tree: a push to the remote that Argo CD follows."""
    site = Site()
    site.require_up()
    site.push(message)


@app.command()
def demo(seconds: float = 60.0) -> None:
    """Load, the death of a node, and the audit."""
    site = Site()
    require_offline(site)
    site.require_up()
    sys.exit(0 if run(site, seconds, console) else 1)


@app.command()
def images() -> None:
    """Build everything that `up` would build, and keep it."""
    site = Site()
    programs.ensure(NEEDED, say)
    ran = site.docker.process.is_running()
    site.docker.start()
    node, ours = site.images()
    if not ran:
        site.docker.stop()
    for name in filter(None, (node, *ours)):
        typer.echo(name)


@app.command()
def down() -> None:
    """Delete the cluster and all that runs beside it."""
    Site().down()
    console.print("nothing is left")


def _show(site: Site) -> None:
    password = "kubectl -n argocd get secret argocd-initial-admin-secret -o yaml"
    kubectl = programs.path("kubectl")
    for line in (
        f"export KUBECONFIG={site.cluster.kubeconfig}   # and {kubectl}",
        f"environment    {site.environment}",
        "Applications   kubectl -n argocd get applications",
        "Argo CD        kubectl -n argocd port-forward service/argocd-server 8081:443",
        f"               user admin, password: {password}",
        "Store          kubectl -n once port-forward service/store 8443:443",
        f"git remote     {site.remote.bare} (make kind-push)",
    ):
        typer.echo(line)


if __name__ == "__main__":
    try:
        app()
    except StackError as error:
        sys.exit(f"kind: {error}")
