"""`python -m local environment NAME`: overlays of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from local.kube import new_environment
from local.kube.new_environment import LIKE, Asked

app = typer.Typer()


@app.command()
def environment(
    name: Annotated[str, typer.Argument(help="Of the environment, such as eu.")],
    domain: Annotated[str, typer.Option(help="Of store.DOMAIN and argocd.DOMAIN.")],
    account: Annotated[str, typer.Option(help="Of AWS, twelve digits.")],
    like: Annotated[
        str, typer.Option(help=f"As large as: {', '.join(LIKE)}.")
    ] = "production",
    issuer: Annotated[
        str, typer.Option(help="Host of the identity provider; none: id.DOMAIN.")
    ] = "",
    bucket: Annotated[
        str, typer.Option(help="For backups; none: once-NAME-ledger.")
    ] = "",
    region: Annotated[str | None, typer.Option(help="Of all environments.")] = None,
    repository: Annotated[
        str | None, typer.Option(help="OWNER/NAME of your fork, for all of them.")
    ] = None,
) -> None:
    """Write an environment's overlays with your names; commit them as they are."""
    asked = Asked(
        name=name,
        like=like,
        domain=domain,
        account=account,
        issuer=issuer or f"id.{domain}",
        bucket=bucket or f"once-{name}-ledger",
        region=region,
        repository=repository,
    )
    written = new_environment.make(Path(), asked)
    typer.echo(
        f"{len(written)} files written or changed, see git status. Next: make "
        "test-kube judges it; secrets, images and bootstrap are steps 2 to 4 of "
        f"docs/how-to/your-first-environment.md; the workflow deploy knows of {name} "
        "once it is among its environments"
    )
