"""A record that ends workers, whatever it does to them, is set aside in the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from local.platform import Platform, Program
from local.processes.waiting import wait_until
from tests.fix_platform import emit, transfer, verdict
from tests.integration.raw import partition_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

POISON = "this record ends workers"
PAYER = 1
PARTITION = partition_of(PAYER)

# How a worker can end over a record, as a statement in the midst of decoding it.
WAYS = {
    "of a signal": "os.kill(os.getpid(), signal.SIGSEGV)",
    "by an exception": "raise TypeError('no such thing')",
    "by leaving": "os._exit(3)",
    "spinning in C, with Python's lock": "re.match('(a+)+b', 'a' * 60)",
}
QUICK = ("of a signal",)
# The real worker, with a reader that cannot bear one record. `-m` finds it first.
FRAGILE = """
import os, re, runpy, signal, sys
from consumers.bank import codec

decode = codec.TransferCodec.decode

def fragile(self, values, keys):
    if any({poison!r} in (value or b"") for value in values):
        {way}
    return decode(self, values, keys)

codec.TransferCodec.decode = fragile
"""


@pytest.fixture
def fragile(
    request: pytest.FixtureRequest, platform: Platform, tmp_path: Path
) -> Iterator[Program]:
    """Two supervised workers that all end over one record."""
    way = WAYS[request.param]
    (tmp_path / "sitecustomize.py").write_text(
        FRAGILE.format(poison=POISON.encode(), way=way)
    )
    settings = {
        **platform.environment(),
        "PYTHONPATH": f"{tmp_path}:{Path.cwd()}",
        "BANK_INSTANCE": platform.name,
        "BANK_SESSION_TIMEOUT_MS": "2000",
        "BANK_STALL_SECONDS_MAX": "2",
        "BANK_BATCH_RECORDS_MAX": "1000",
    }
    command = ["consumers.bank", "run", "--workers", "2"]
    with Program(command, settings, platform.logs / "supervisor.log") as bank:
        yield bank


def reasons(platform: Platform) -> list[tuple[str, str]]:
    with psycopg.connect(platform.conninfo("audit")) as connection:
        query = "SELECT reason, detail FROM quarantine"
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    "fragile",
    [
        pytest.param(way, marks=() if way in QUICK else pytest.mark.nightly)
        for way in WAYS
    ],
    indirect=True,
)
def test_a_record_that_ends_workers_is_set_aside_and_the_others_go_on(
    platform: Platform, fragile: Program
) -> None:
    before = [transfer(PAYER) for _ in range(40)]
    poison = transfer(PAYER, memo=POISON)
    after = [transfer(PAYER) for _ in range(20)]
    emit(platform, *before, poison, *after)
    platform.wait_applied(61, timeout_seconds=240)
    assert [reason for reason, _ in reasons(platform)] == ["ENDS_WORKERS"]
    assert verdict(platform, poison.transfer_id) is None
    posted = {verdict(platform, line.transfer_id) for line in (*before, *after)}
    assert posted == {"POSTED"}
    assert "a record ends workers and is set aside" in fragile.text
    emit(platform, transfer(PAYER))
    platform.wait_applied(62)
    assert fragile.terminate() == 0, fragile.text
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)


@pytest.mark.parametrize(
    "fragile", ["spinning in C, with Python's lock"], indirect=True
)
def test_a_worker_that_spins_does_not_outlive_its_supervisor(
    platform: Platform, fragile: Program
) -> None:
    wait_until(
        lambda: fragile.text.count("partitions assigned") >= 1,
        what="partitions to be assigned",
        timeout_seconds=60,
    )
    emit(platform, transfer(PAYER, memo=POISON))
    wait_until(
        lambda: "makes no progress and is killed" in fragile.text,
        what="the supervisor to notice",
        timeout_seconds=60,
    )
    family = psutil.Process(fragile.process.pid).children()
    fragile.kill()
    _, alive = psutil.wait_procs(family, timeout=100)
    assert not alive


def test_the_interpreter_here_finds_what_these_tests_plant(tmp_path: Path) -> None:
    """Else every test above would hold of a worker that is not fragile at all."""
    (tmp_path / "sitecustomize.py").write_text("print('planted')")
    log = tmp_path / "log"
    settings = {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    with Program(["consumers.bank", "--help"], settings, log) as program:
        assert program.process.wait(30) == 0, sys.executable
    assert program.text.startswith("planted")
