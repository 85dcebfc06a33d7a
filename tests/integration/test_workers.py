"""`run --workers N`: processes that share the partitions and are kept running."""

from __future__ import annotations

import psutil
import pytest

from local.platform import Platform, Program
from local.processes.waiting import wait_until
from tests.fix_platform import emit, transfer

pytestmark = pytest.mark.stack


def workers(program: Program) -> list[psutil.Process]:
    return psutil.Process(program.process.pid).children()


def wait_started(program: Program, times: int) -> None:
    """Until so many workers were started, those that were started again too."""
    wait_until(
        lambda: program.text.count("bank worker started") == times,
        what=f"{times} starts of workers",
        timeout_seconds=30,
    )


def test_workers_share_partitions_come_back_when_killed_and_leave_together(
    platform: Platform,
) -> None:
    environment = {
        **platform.environment(),
        "BANK_INSTANCE": platform.name,
        "BANK_SESSION_TIMEOUT_MS": "2000",
    }
    command = ["consumers.bank", "run", "--workers", "2"]
    with Program(command, environment, platform.logs / "bank.log") as bank:
        wait_started(bank, 2)
        victim, survivor = workers(bank)
        victim.kill()
        wait_started(bank, 3)
        assert survivor.is_running()
        emit(platform, *(transfer(payer) for payer in range(1, 31)))
        platform.wait_applied(30)
        family = workers(bank)
        assert bank.terminate() == 0, bank.text
        assert not [member for member in family if member.is_running()]
    assert platform.audit().invariants_ok


def test_workers_do_not_outlive_a_parent_that_was_killed(platform: Platform) -> None:
    environment = {**platform.environment(), "BANK_INSTANCE": platform.name}
    command = ["consumers.bank", "run", "--workers", "2"]
    with Program(command, environment, platform.logs / "bank.log") as bank:
        wait_started(bank, 2)
        orphans = workers(bank)
        bank.kill()
        _, alive = psutil.wait_procs(orphans, timeout=30)
        assert not alive
    assert bank.text.count("bank worker left cleanly") == 2
