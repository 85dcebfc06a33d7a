"""Who may move which image where: the plan of the deploy workflow, run as it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.tree import ROOT

PARTS = {"store": "producers/store", "bank": "consumers/bank"}
OLD, NEW, NEWEST = (f"sha256:{digit * 64}" for digit in "123")
ZEROS = f"sha256:{'0' * 64}"
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")  # as a runner has it


def workflow(name: str) -> dict[str, Any]:
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def plan_step() -> dict[str, Any]:
    steps = workflow("deploy")["jobs"]["plan"]["steps"]
    (found,) = (step for step in steps if step.get("id") == "plan")
    return dict(found)


class Repository:
    """A main branch in which overlays have digests, and the plan that reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")
        self.revision = ""

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", *who, *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def deploy(self, digest: str, *environments: str, part: str = "store") -> str:
        """One commit; its name."""
        for environment in environments:
            overlay = self.folder / PARTS[part] / "k8s" / "overlays" / environment
            overlay.mkdir(parents=True, exist_ok=True)
            content = f"images:\n  - digest: {digest}\n"
            (overlay / "kustomization.yaml").write_text(content)
        return self.commit()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=one more")
        return self.git("rev-parse", "HEAD")

    def plan(self, **said: str) -> tuple[int, dict[str, str], str]:
        """Its exit status, what it decided, and what it said."""
        output = self.folder / ".git" / "output"
        output.write_text("")
        environment = {
            "PATH": os.environ["PATH"],
            "GITHUB_OUTPUT": str(output),
            "EVENT": "workflow_dispatch",
            "ACTOR": "ada",
            "RUN_BY": said.get("ACTOR", "ada"),
            "REPORTER_DEV": "once-dev",
            "REPORTER_TEST": "once-test",
            "KEY_IS_SEEN": "false",
            **dict.fromkeys(("ENVIRONMENT", "STORE", "BANK", "REPORTED"), ""),
        }
        assert environment.keys() - plan_step()["env"].keys() == {
            "PATH",
            "GITHUB_OUTPUT",
        }
        done = subprocess.run(
            [*BASH, "-c", plan_step()["run"]],
            cwd=self.folder,
            env=environment | said,
            capture_output=True,
            text=True,
        )
        lines = output.read_text().splitlines()
        decided = dict(line.split("=", 1) for line in lines)
        return done.returncode, decided, done.stdout + done.stderr

    def report(self, who: str, said: str, **more: str) -> tuple[int, dict[str, str]]:
        status, decided, _ = self.plan(ACTOR=who, REPORTED=said, **more)
        return status, {name: value for name, value in decided.items() if value}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Dev has NEW, test and production OLD."""
    made = Repository(tmp_path)
    made.deploy(ZEROS, "dev", "test", "production", part="bank")
    made.deploy(OLD, "dev", "test", "production")
    made.revision = made.deploy(NEW, "dev")
    return made


def test_what_dev_reports_goes_to_test(repository: Repository) -> None:
    said = f"dev store {repository.revision}"
    wanted = {"environment": "test", "store": NEW}
    assert repository.report("once-dev", said) == (0, wanted)


def test_what_test_reports_goes_to_production(repository: Repository) -> None:
    said = f"test store {repository.deploy(NEW, 'test')}"
    wanted = {"environment": "production", "store": NEW}
    assert repository.report("once-test", said) == (0, wanted)


@pytest.mark.parametrize("who", ["once-dev", "ada", ""])
def test_nobody_but_test_reports_for_test(repository: Repository, who: str) -> None:
    revision = repository.deploy(NEW, "test")
    assert repository.report(who, f"test store {revision}") == (1, {})


def test_a_reporter_that_was_not_named_is_nobody(repository: Repository) -> None:
    said = f"test store {repository.deploy(NEW, 'test')}"
    assert repository.report("", said, REPORTER_TEST="") == (1, {})


@pytest.mark.parametrize("who", ["once-dev", "once-test"])
@pytest.mark.parametrize("environment", ["dev", "test", "production"])
def test_a_reporter_deploys_nothing_by_hand(
    repository: Repository, who: str, environment: str
) -> None:
    told = {"ENVIRONMENT": environment, "STORE": OLD}
    for said in ({"ACTOR": who}, {"RUN_BY": who}):
        status, decided, text = repository.plan(**told, **said)
        assert (status, decided) == (1, {})
        assert f"::error::{who} reports, and deploys nothing by hand" in text


def test_a_person_deploys_by_hand_what_they_like(repository: Repository) -> None:
    status, decided, _ = repository.plan(ENVIRONMENT="production", BANK=OLD)
    assert (status, decided["environment"], decided["bank"]) == (0, "production", OLD)


def test_what_was_just_built_goes_to_dev_whoever_pushed_it(
    repository: Repository,
) -> None:
    told = {"EVENT": "workflow_run", "ENVIRONMENT": "dev", "STORE": NEWEST}
    status, decided, _ = repository.plan(**told, ACTOR="once-dev")
    assert (status, decided["environment"], decided["store"]) == (0, "dev", NEWEST)


def test_nothing_rides_along_with_a_report(repository: Repository) -> None:
    said = f"dev store {repository.revision}"
    wanted = {"environment": "test", "store": NEW}
    more = {"ENVIRONMENT": "production", "BANK": OLD, "STORE": OLD}
    assert repository.report("once-dev", said, **more) == (0, wanted)


def test_a_revision_older_than_what_an_environment_has_moves_nothing(
    repository: Repository,
) -> None:
    repository.deploy(NEWEST, "dev")
    said = f"dev store {repository.revision}"
    status, decided, text = repository.plan(ACTOR="once-dev", REPORTED=said)
    assert (status, decided) == (0, {})
    assert "::warning::dev has another store by now" in text


def test_what_was_rolled_back_does_not_come_back_by_itself(
    repository: Repository,
) -> None:
    repository.deploy(NEW, "test")
    repository.deploy(OLD, "test")
    said = f"dev store {repository.commit()}"
    status, decided, text = repository.plan(ACTOR="once-dev", REPORTED=said)
    assert (status, decided) == (0, {})
    assert "::warning::test had this store and was rolled back" in text


def test_what_an_environment_has_already_is_no_rollback(repository: Repository) -> None:
    repository.deploy(NEW, "test")
    status, _ = repository.report("once-dev", f"dev store {repository.commit()}")
    assert status == 0


@pytest.mark.parametrize(
    "said",
    [
        "production store REVISION",
        "dev audit REVISION",
        "dev store main",
        f"dev store {'a' * 40}",
        "dev bank REVISION",  # zeros: nothing was ever deployed
        "dev store OUTSIDE",
        "dev store",
        "dev",
    ],
)
def test_a_report_that_makes_no_sense_is_refused(
    repository: Repository, said: str
) -> None:
    outside = repository.git("commit-tree", "HEAD^{tree}", "-m", "not on main")
    said = said.replace("REVISION", repository.revision).replace("OUTSIDE", outside)
    status, decided, text = repository.plan(ACTOR="once-dev", REPORTED=said)
    assert (status, decided) == (1, {})
    assert "::error::" in text


def test_a_key_that_every_branch_can_read_is_refused(repository: Repository) -> None:
    status, decided, text = repository.plan(KEY_IS_SEEN="true", ENVIRONMENT="dev")
    assert (status, decided) == (1, {})
    assert "::error::DEPLOY_APP_KEY is a secret of the repository" in text


def test_the_key_is_used_in_an_environment_only() -> None:
    jobs = workflow("deploy")["jobs"]
    assert "environment" not in jobs["plan"]
    used = [
        name for name, job in jobs.items() if "secrets.DEPLOY_APP_KEY }}" in str(job)
    ]
    assert used == ["pull-request"] and jobs["pull-request"]["environment"]


def test_only_a_report_goes_to_production_without_asking() -> None:
    chosen = workflow("deploy")["jobs"]["pull-request"]["environment"]
    before, unattended, _ = chosen.partition("'production-unattended'")
    assert unattended and "inputs.reported != ''" in before
