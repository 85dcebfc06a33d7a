"""Registry, Postgres and brokers go away under load; all goes on when they are back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import time

import httpx
import psycopg
import pytest

from local.platform import Platform, Program
from local.processes.waiting import wait_until
from local.stack import Stack
from local.stack.patroni_config import LEASE_SECONDS
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.generate import Generator, Population
from producers.store.stream import Tally
from producers.store.transfers import Chunk
from tests.fix_platform import MERCHANTS, PAYERS, a_store, health_url, verdict
from tests.integration.kafka_admin import group_coordinator, group_members
from tests.integration.raw import Foreign, Raw, id_of
from tests.integration.schemas import Schemas

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

RECORDS_A_SECOND = 2_000
BACK_AGAIN_SECONDS = 120.0
SILENCE_SECONDS = 8.0  # longer than any broker takes to lose its partitions


@pytest.fixture
def damaged(platform: Platform) -> Iterator[Stack]:
    """The platform's stack, whole again when the test ends, whatever it broke."""
    yield platform.stack
    heal(platform.stack)


def heal(stack: Stack) -> None:
    for process in stack.processes.values():
        process.resume()
        process.start()
    stack.wait_ready()


@dataclass(frozen=True)
class Load:
    """A Store and a Bank at work."""

    platform: Platform
    bank: Program
    acknowledgements: Path
    stopped: Event
    emitting: Future[Tally]

    def wait(
        self, condition: Callable[[], bool], what: str, timeout_s: float = 60.0
    ) -> None:
        """Until the condition holds; ends early when the Store gave up."""

        def holds() -> bool:
            if self.emitting.done() and not self.stopped.is_set():
                self.emitting.result()
            return condition()

        wait_until(holds, what=what, timeout_seconds=timeout_s)

    def flows(self, timeout_s: float = BACK_AGAIN_SECONDS) -> None:
        """Wait until another second's worth of records is applied."""
        due = self.platform.applied() + RECORDS_A_SECOND
        what = "records to flow"
        self.wait(lambda: self.platform.applied() >= due, what, timeout_s)

    def is_silent(self) -> bool:
        """Whether nothing was acknowledged for a while."""
        return time() - self.acknowledgements.stat().st_mtime > SILENCE_SECONDS

    def health(self, path: str) -> int:
        """The HTTP status of the Bank's /livez or /readyz."""
        return httpx.get(f"{health_url(self.bank.text)}/{path}").status_code

    def ends_well(self) -> None:
        """Stop the Store; what it acknowledged is in the ledger, and all else holds."""
        self.stopped.set()
        acknowledged = self.emitting.result(BACK_AGAIN_SECONDS).acknowledged
        self.platform.wait_applied(acknowledged, BACK_AGAIN_SECONDS)
        assert self.bank.process.poll() is None, "the Bank gave up"
        with psycopg.connect(self.platform.conninfo("audit")) as connection:
            row = connection.execute("SELECT count(*) FROM transfers").fetchone()
        assert row == (acknowledged,)
        report = self.platform.audit(self.acknowledgements)
        assert report.invariants_ok, report.model_dump_json(indent=2)


def made_up(stopped: Event) -> Iterator[Chunk]:
    """Small chunks at an even pace, until told to stop."""
    generator = Generator(
        Population(accounts=PAYERS, merchants=MERCHANTS, amount_max=100), seed=1
    )
    while not stopped.wait(0.05):
        yield generator.chunk(RECORDS_A_SECOND // 20)


@contextmanager
def load(
    platform: Platform, stall_seconds_max: float = 60.0, bank: Program | None = None
) -> Iterator[Load]:
    """Start both, and wait until they are past their beginnings."""
    log, stopped = platform.logs / "acknowledged", Event()
    with (
        (
            nullcontext(bank)
            if bank is not None
            else platform.bank(
                batch_records_max=1_000, stall_seconds_max=stall_seconds_max
            )
        ) as running,
        a_store(platform) as store,
        AcknowledgementLog(log) as acknowledged,
        ThreadPoolExecutor(1) as pool,
    ):
        emitting = pool.submit(store.emit, made_up(stopped), acknowledged)
        try:
            under = Load(platform, running, log, stopped, emitting)
            under.flows()
            yield under
        finally:
            stopped.set()
            heal(platform.stack)  # else a failed test waits for the Store for ever


@contextmanager
def supervised(platform: Platform) -> Iterator[Load]:
    """A Store, and a Bank that somebody starts again.

    For every fault of a broker: librdkafka may hang on one that coordinates, against
    its own timeout (confluentinc/librdkafka#5456), and when it does, the worker ends
    with a sentence.
    """
    settings = {
        **platform.environment(),
        "BANK_INSTANCE": platform.name,
        "BANK_BATCH_RECORDS_MAX": "1000",
    }
    command = ["consumers.bank", "run", "--workers", "2"]
    log = platform.logs / "supervisor.log"
    with (
        Program(command, settings, log) as bank,
        load(platform, bank=bank) as under,
    ):
        yield under


@pytest.mark.parametrize(
    "fault", [pytest.param("kill", marks=pytest.mark.nightly), "pause"]
)
def test_while_the_registry_is_away_the_bank_waits_and_stays_in_its_group(
    platform: Platform, damaged: Stack, fault: str
) -> None:
    added = {"name": "channel", "type": "string", "default": ""}
    strange = Raw(b"1", Schemas(platform).newer(added)(channel="web"))
    registry = damaged.processes["registry"]
    with (
        Foreign(platform) as foreign,
        platform.bank(session_timeout_ms=2000) as bank,
    ):
        first, last = foreign.transfer(), foreign.transfer()
        foreign.send(first)
        platform.wait_applied(1)
        members = group_members(platform)

        registry.kill() if fault == "kill" else registry.pause()
        foreign.send(strange, last)
        # Refused at once or timed out after 5 s: both longer than the session timeout.
        times = 8 if fault == "kill" else 2
        wait_until(
            lambda: bank.text.count('"waiting"') >= times,
            what="the Bank to wait for the registry",
            timeout_seconds=60,
        )
        assert group_members(platform) == members
        assert httpx.get(f"{health_url(bank.text)}/livez").is_success
        ready = httpx.get(f"{health_url(bank.text)}/readyz")
        assert (ready.status_code, "schema registry" in ready.text) == (503, True)
        assert verdict(platform, id_of(last)) is None

        registry.start() if fault == "kill" else registry.resume()
        damaged.registry.wait_ready()
        platform.wait_applied(3)
        assert group_members(platform) == members
        assert "session ended" not in bank.text
    assert verdict(platform, id_of(strange)) == "POSTED"
    assert verdict(platform, id_of(last)) == "POSTED"
    assert platform.audit().invariants_ok


def wait_for_another_primary(stack: Stack, old: str) -> None:
    wait_until(
        lambda: stack.postgres.leader() not in (None, old),
        what=f"another primary than {old}",
        timeout_seconds=LEASE_SECONDS + 40,
    )
    stack.postgres.wait_writable()


def test_a_primary_killed_under_load_loses_nothing(
    platform: Platform, damaged: Stack
) -> None:
    with load(platform) as under:
        primary = damaged.postgres.leader()
        assert primary is not None
        damaged.processes[primary].kill()
        under.wait(lambda: under.health("readyz") == 503, "the Bank to be not ready")
        assert under.health("livez") == 200
        wait_for_another_primary(damaged, primary)
        under.flows()
        assert under.health("readyz") == 200
        under.ends_well()


def test_a_primary_that_hung_and_wakes_up_as_none_loses_nothing(
    platform: Platform, damaged: Stack
) -> None:
    with load(platform, stall_seconds_max=8) as under:
        primary = damaged.postgres.leader()
        assert primary is not None
        damaged.processes[primary].pause()
        wait_for_another_primary(damaged, primary)
        # Its kernel still answers, so the Bank cannot know; its liveness tells.
        under.wait(lambda: under.health("livez") == 503, "the Bank's liveness to end")
        damaged.processes[primary].resume()
        under.flows()
        assert under.health("livez") == 200
        under.ends_well()


def test_a_broker_killed_under_load_and_started_again_loses_nothing(
    platform: Platform, damaged: Stack
) -> None:
    with supervised(platform) as under:
        spared = f"kafka-{group_coordinator(platform)}"
        broker = next(p for n, p in damaged.kafka.processes.items() if n != spared)
        broker.kill()
        under.flows()
        broker.start()
        damaged.kafka.wait_ready()
        under.flows()
        under.ends_well()


def test_brokers_without_a_majority_hold_everything_up_and_lose_nothing(
    platform: Platform, damaged: Stack
) -> None:
    with supervised(platform) as under:
        coordinator = f"kafka-{group_coordinator(platform)}"
        other = next(name for name in damaged.kafka.names if name != coordinator)
        silent = [damaged.processes[name] for name in (coordinator, other)]
        for broker in silent:
            broker.pause()
        under.wait(under.is_silent, "the Store to be held up")
        assert under.health("livez") == 200
        for broker in silent:
            broker.resume()
        damaged.kafka.wait_ready()
        under.flows()
        under.ends_well()


def test_the_coordinator_of_the_group_killed_and_not_started_again(
    platform: Platform, damaged: Stack
) -> None:
    with supervised(platform) as under:
        damaged.processes[f"kafka-{group_coordinator(platform)}"].kill()
        for _ in range(3):
            under.flows()
        heal(damaged)
        under.flows()
        under.ends_well()
