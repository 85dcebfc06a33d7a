"""The local cluster: `make kind-up`, `kind-push`, `kind-demo`, `kind-down`.

With Docker and a way to image registries, operators run Kafka and Postgres in it. Where
there is no engine and no registry, all of it is built here, and a stand-in for the
operators runs the same pods (the environment `kind-offline`).
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from local.kube import choice
from local.kube import demo as demonstration
from local.kube import kinds, look_cli, own_images, programs, releases
from local.kube.environment import WithDocker
from local.kube.site import NEEDED, Site
from local.kube.steps import console, say
from local.kube.versions import PROGRAMS
from local.processes.errors import StackError

app = typer.Typer(no_args_is_help=True, help=__doc__)
app.add_typer(look_cli.app)


@app.command()
def up() -> None:
    """Create the cluster and deploy this working tree to it."""
    site = Site(choice.environment())
    site.up()
    _show(site)


@app.command()
def push(message: str = "kind-push") -> None:
    """Deploy this working tree: a push to the remote that Argo CD follows."""
    choice.cluster().push(message)


@app.command()
def env() -> None:
    """What a shell must know of the cluster: eval "$(make -s kind-env)"."""
    site = choice.cluster()
    typer.echo(f"export KUBECONFIG={shlex.quote(str(site.cluster.kubeconfig))}")
    kubectl = shlex.quote(str(programs.command("kubectl")))
    typer.echo(f'kubectl() {{ {kubectl} "$@"; }}')


@app.command()
def demo() -> None:
    """Load while nodes die and a zone is cut off, and the audit in the cluster."""
    raise typer.Exit(0 if demonstration.run(choice.cluster(), console) else 1)


@app.command()
def images() -> None:
    """Build everything that `up` would build, and keep it."""
    site = Site(choice.environment())
    programs.ensure_commands(NEEDED, say)
    environment = site.environment
    ran = environment.engine_runs()
    environment.start_engine()
    node, ours = site.images()
    if not ran:
        environment.stop_engine()
    for name in filter(None, (node, *ours)):
        typer.echo(name)


@app.command()
def down() -> None:
    """Delete the cluster and all that runs beside it."""
    Site(choice.environment()).down()
    console.print("nothing is left")


@app.command("programs")
def build_programs(
    names: Annotated[list[str] | None, typer.Argument(help="All, without.")] = None,
) -> None:
    """Build programs of versions.py, and say how long each took."""
    for name in names or ():
        if name not in PROGRAMS:
            raise StackError(f"no program {name!r}: {', '.join(PROGRAMS)}")
    for name in names or PROGRAMS:
        began = time.monotonic()
        programs.ensure([name], typer.echo)
        typer.echo(f"{programs.path(name)}  {time.monotonic() - began:.0f} s")


@app.command("image-context")
def image_context() -> None:
    """build/image: what our images are built from, wheels, ours among them."""
    own_images.make_context(typer.echo)
    store = own_images.DOCKERFILES["once/store"]
    typer.echo(f"{own_images.CONTEXT} is ready: docker build --file {store} ...")


@app.command()
def define(
    release: str,
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
) -> None:
    """Keep the kinds of an operator's release (strimzi-1.2.0) by the files it ships."""
    typer.echo(kinds.replace(release, files))


@app.command()
def keep() -> None:
    """Keep what Argo CD and Argo Rollouts ship to be installed, from their modules."""
    for path in releases.keep():
        typer.echo(path)


def _show(site: Site) -> None:
    password = "kubectl -n argocd get secret argocd-initial-admin-secret -o yaml"
    operated = isinstance(site.environment, WithDocker)
    untried = (
        " (no test of ours has run this one; docs/kubernetes.md)" if operated else ""
    )
    for line in (
        'kubectl        eval "$(make -s kind-env)"',
        f"environment    {site.environment.name}{untried}",
        "Applications   kubectl -n argocd get applications",
        "Argo CD        kubectl -n argocd port-forward service/argocd-server 8081:443",
        f"               user admin, password: {password}",
        "Store          kubectl -n once port-forward service/store 8443:443",
        f"git remote     make kind-push; by hand in {site.remote.clone}",
    ):
        typer.echo(line)
