"""`python -m local` is one tree of commands, and says in one sentence what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from local.__main__ import app
from local.processes.errors import StackError
from local.processes.files import UMASK


@pytest.fixture
def umasks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Those that were set, without setting any."""
    found: list[int] = []
    monkeypatch.setattr(os, "umask", found.append)
    return found


@pytest.mark.usefixtures("umasks")
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("run", "which program?"),
        ("run once migrate", "no stack was started under"),
        ("run --state-dir . once migrate --help", "no stack was started under"),
        ("set-up", "no stack was started under"),
        ("serve --tls", "no stack was started under"),
        ("psql --role nobody", "no role 'nobody'"),
        ("conninfo --role nobody", "no role 'nobody'"),
        ("conninfo", "no stack was started under"),
        ("pid kafka-1", "no stack was started under"),
        ("kind programs kubelet nothing", "no program 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    command: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = CliRunner().invoke(app, command.split()).exception
    assert isinstance(error, StackError), error
    assert str(error).startswith(sentence)


@pytest.mark.usefixtures("umasks")
def test_what_is_not_understood_is_status_2() -> None:
    for command in (["nothing"], ["up", "--brokers", "many"], ["token", "--nothing"]):
        assert CliRunner().invoke(app, command).exit_code == 2


def test_all_is_private_but_what_is_built_for_a_cluster(
    umasks: list[int], tmp_path: Path
) -> None:
    CliRunner().invoke(app, ["running", "--state-dir", str(tmp_path)])
    assert umasks == [UMASK]
    CliRunner().invoke(app, ["kind", "programs", "nothing"])
    assert umasks == [UMASK]
