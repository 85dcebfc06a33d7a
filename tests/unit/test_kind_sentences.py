"""`make kind-demo` and its siblings say in one sentence which cluster they miss."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local.kube import cli
from local.kube.environment import VARIABLE
from local.processes.errors import StackError


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty one, on a machine where Docker runs."""
    client = tmp_path / "bin" / "docker"
    client.parent.mkdir()
    client.write_text("#!/bin/sh\necho 28.0.0\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(command: str) -> str:
    error = CliRunner().invoke(cli.app, [command]).exception
    assert isinstance(error, StackError), error
    return str(error)


def made(checkout: Path, environment: str) -> None:
    """As if that cluster had been made."""
    kubeconfig = checkout / ".local" / environment / "kubeconfig"
    kubeconfig.parent.mkdir(parents=True)
    kubeconfig.touch()


@pytest.mark.usefixtures("checkout")
def test_a_cluster_that_is_not_there_is_to_be_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there_is_none = "there is no cluster of {} here: run '{}make kind-up' first"
    for command in ("push", "demo", "pay", "audit", "psql"):
        assert said(command) == there_is_none.format("kind", "")
    monkeypatch.setenv(VARIABLE, "1")
    for command in ("demo", "push"):
        assert said(command) == there_is_none.format("kind-offline", "KIND_OFFLINE=1 ")


def test_a_cluster_of_the_other_environment_is_named(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(checkout, "kind-offline")
    assert said("push").endswith(
        ", or set KIND_OFFLINE=1 for the cluster of kind-offline, which was made"
    )
    monkeypatch.setenv(VARIABLE, "1")
    (checkout / ".local" / "kind-offline" / "kubeconfig").unlink()
    made(checkout, "kind")
    assert said("demo").endswith(
        ", or unset KIND_OFFLINE and start Docker for the cluster of kind, which was "
        "made"
    )
