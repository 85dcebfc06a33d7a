"""Store and Bank in containers: jobs, transfers from one to the other, orderly ends.

Rights are those of the manifests' KafkaUsers, settings those of their ConfigMaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from producers.store.states import State
from tests.fix_platform import balance, transfer
from tests.images.conftest import PAYERS
from tests.images.containers import Ended, Running, run, running
from tests.images.engine import Engine
from tests.images.programs import SUBJECTS, Programs
from tests.images.surroundings import Surroundings

pytestmark = pytest.mark.stack

WAIT_SECONDS = 30.0
SENT = 50
PROCESSES = """
import pathlib
print(*(p.read_text().strip() for p in pathlib.Path("/proc").glob("[0-9]*/comm")))
"""


@pytest.fixture
def bank(
    engine: Engine, programs: Programs, set_up: dict[str, Ended]
) -> Iterator[Running]:
    """A worker that owns all partitions."""
    with running(engine, programs.bank()) as bank:
        bank.wait_ready()
        yield bank


@pytest.fixture
def store(
    engine: Engine, programs: Programs, set_up: dict[str, Ended]
) -> Iterator[Running]:
    """A Store that takes transfers."""
    with running(engine, programs.store()) as store:
        store.wait_ready()
        yield store


def test_the_jobs_set_up_an_empty_ledger_from_the_banks_image(
    set_up: dict[str, Ended],
) -> None:
    assert {name: ended.status for name, ended in set_up.items()} == {
        "migrate": 0,
        "register": 0,
        "open-accounts": 0,
    }, set_up
    assert "applied 0001" in set_up["migrate"].said
    assert len(set_up["register"].said.splitlines()) == len(SUBJECTS)
    assert set_up["open-accounts"].said.strip() == f"opened {PAYERS} accounts"


def test_a_job_that_runs_again_changes_nothing(
    engine: Engine, programs: Programs, set_up: dict[str, Ended]
) -> None:
    again = run(engine, programs.job("once", "migrate"))
    assert again.status == 0
    assert again.said.strip() == "applied nothing: all was there"
    pairs = [f"{subject}={file}" for subject, file in SUBJECTS.items()]
    again = run(engine, programs.job("once", "register", *pairs))
    assert again.said == set_up["register"].said


def test_a_transfer_flows_from_the_stores_container_to_the_banks(
    programs: Programs, around: Surroundings, store: Running, bank: Running
) -> None:
    before = balance(around.platform, 4)
    with programs.client(store) as client:
        line = transfer(payer=3, payee=4, amount=250)
        status = client.send(line, WAIT_SECONDS)
        assert status.state is State.POSTED
        assert client.send(line, WAIT_SECONDS).state is State.POSTED
    assert balance(around.platform, 4) == before + 250
    for each in (store, bank):
        assert each.python(PROCESSES).split() == ["python3", "python3"]


def test_the_smoke_test_of_a_deployment_passes_from_the_stores_image(
    engine: Engine, programs: Programs, store: Running, bank: Running
) -> None:
    smoke = run(engine, programs.smoke())
    assert smoke.status == 0, smoke.said
    assert smoke.said.splitlines()[0] == "without a token: sent away"
    declined = run(engine, programs.smoke(debit_account="999"))
    assert declined.status == 70, declined.said
    assert declined.said.splitlines()[-1].startswith("SmokeFailed: account 999 ")
    nobody = run(engine, programs.smoke(url="https://store:1", wait_seconds="1"))
    assert nobody.status == 70
    assert "no final answer of https://store:1" in nobody.said


def test_on_sigterm_both_end_what_they_began_and_nothing_is_lost(
    engine: Engine, programs: Programs, around: Surroundings, set_up: dict[str, Ended]
) -> None:
    before = around.platform.applied()
    with running(engine, programs.store()) as store:
        store.wait_ready()
        with programs.client(store) as client:
            for _ in range(SENT):
                client.send(transfer(payer=5, payee=6, amount=1))
        ended = store.stop()
    assert ended.status == 0, ended.said
    assert "draining" in ended.said
    with running(engine, programs.bank()) as bank:
        bank.wait_ready()
        around.platform.wait_applied(before + SENT)
        ended = bank.stop()
    assert ended.status == 0, ended.said
    assert "bank worker left cleanly" in ended.said
    report = around.platform.audit()
    assert report.invariants_ok, report


def test_without_rights_on_its_topic_a_program_says_so_and_ends(
    engine: Engine, programs: Programs, set_up: dict[str, Ended]
) -> None:
    order = programs.store(topic=f"of-somebody-else-{uuid4().hex}")
    ended = run(engine, order)
    assert ended.status == 78, ended.said
    assert order.environment["STORE_TOPIC"] in ended.said.splitlines()[-1]
