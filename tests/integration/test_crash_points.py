"""A worker that dies between any two steps of its protocol, and the one after it.

The session runs in this process on the real parts, and is cut off where the test says:
what it had in flight is abandoned as a killed process would leave it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumers.bank.observe import Observer, Point
from consumers.bank.session import Session
from consumers.bank.settings import BankSettings
from local.platform import Platform
from once.errors import OnceError
from once.telemetry import Telemetry
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.generate import Generator, Population
from tests.fix_platform import MERCHANTS, PAYERS, a_store

pytestmark = pytest.mark.stack

RECORDS, CHUNK = 3_000, 500


class Cut(Exception):
    """The worker is dead from here on."""


class Mortal(Observer):
    """Ends the worker at the point that it is given."""

    dies_at: Point | None = None

    def reached(self, point: Point) -> None:
        if point is self.dies_at:
            raise Cut


def die_with_results_sent_and_not_committed(session: Session) -> None:
    """Let the producer die with its transaction open."""
    publisher = session._publisher
    producer = next(publisher._turns)
    publisher._turns = itertools.repeat(producer)
    assert producer._producer is not None
    real = producer._producer

    class Dying:
        """The same producer, until it should commit."""

        def __getattr__(self, name: str) -> object:
            return cut_commit if name == "commit_transaction" else getattr(real, name)

    def cut_commit(*_: object) -> None:
        real.flush()
        raise Cut

    producer._producer = Dying()  # type: ignore[assignment]


@contextmanager
def a_session(
    platform: Platform, batch_records_max: int = CHUNK
) -> Iterator[tuple[Session, Mortal]]:
    found = {name.lower(): value for name, value in platform.environment().items()}
    mine = {n.removeprefix("bank_"): v for n, v in found.items() if n[:5] == "bank_"}
    settings = BankSettings.model_validate(
        {
            **mine,
            "instance": f"{platform.name}-victim",
            "batch_records_max": batch_records_max,
            "session_timeout_ms": 2000,
        }
    )
    telemetry = Telemetry.start("bank", "victim")
    observer = Mortal(settings, telemetry)
    session = Session(settings, observer)
    try:
        yield session, observer
    finally:
        session.abandon()
        telemetry.shutdown()


@pytest.mark.parametrize("point", [*Point, None], ids=str)
def test_dying_there_loses_and_repeats_nothing(
    platform: Platform, tmp_path: Path, point: Point | None
) -> None:
    log = tmp_path / "acknowledged"
    generator = Generator(
        Population(accounts=PAYERS, merchants=MERCHANTS, amount_max=100), 1
    )
    with a_store(platform) as store, AcknowledgementLog(log) as acknowledged:
        chunks = [generator.chunk(CHUNK) for _ in range(RECORDS // CHUNK)]
        store.emit(chunks, acknowledged)
    with a_session(platform) as (session, observer):
        while platform.applied() < CHUNK:
            session.step()
        observer.dies_at = point
        if point is None:
            die_with_results_sent_and_not_committed(session)
        with pytest.raises((Cut, OnceError)):
            for _ in range(1_000):
                session.step()
    with platform.bank("heir", session_timeout_ms=2000):
        platform.wait_applied(RECORDS)
    report = platform.audit(log)
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert report.records == RECORDS
