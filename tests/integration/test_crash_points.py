"""A worker that dies between any two steps of its protocol, and the one after it.

The session runs in this process on the real parts, and is cut off where the test says:
what it had in flight is abandoned as a killed process would leave it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumers.bank.observe import Observer
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


def cut(*_: object, **__: object) -> None:
    raise Cut


def before_the_first_statement(session: Session) -> None:
    session._applier.begin = cut  # type: ignore[method-assign]


def before_commit(session: Session) -> None:
    session._applier._committer.submit = cut  # type: ignore[method-assign, assignment]


def after_commit_before_publishing(session: Session) -> None:
    session._publish = cut  # type: ignore[method-assign]


def after_publishing(session: Session) -> None:
    submit = session._publisher.submit

    def publish_and_cut(publication: object) -> None:
        submit(publication)  # type: ignore[arg-type]
        assert session._publisher.drain(30)
        raise Cut

    session._publisher.submit = publish_and_cut  # type: ignore[method-assign]


def with_results_sent_and_not_committed(session: Session) -> None:
    """The producer dies with its transaction open."""
    producer = session._publisher._producer
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


POINTS: list[Callable[[Session], None]] = [
    before_the_first_statement,
    before_commit,
    after_commit_before_publishing,
    after_publishing,
    with_results_sent_and_not_committed,
]


@contextmanager
def a_session(platform: Platform, batch_records_max: int = CHUNK) -> Iterator[Session]:
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
    session = Session(settings, Observer(settings, telemetry))
    try:
        yield session
    finally:
        session.abandon()
        telemetry.shutdown()


@pytest.mark.parametrize("point", POINTS, ids=lambda point: str(point.__name__))
def test_dying_there_loses_and_repeats_nothing(
    platform: Platform, tmp_path: Path, point: Callable[[Session], None]
) -> None:
    log = tmp_path / "acknowledged"
    generator = Generator(Population(PAYERS, MERCHANTS, amount_max=100), 1)
    with a_store(platform) as store, AcknowledgementLog(log) as acknowledged:
        chunks = [generator.chunk(CHUNK) for _ in range(RECORDS // CHUNK)]
        store.emit(chunks, acknowledged)
    with a_session(platform) as session:
        while platform.applied() < CHUNK:
            session.step()
        point(session)
        with pytest.raises((Cut, OnceError)):
            for _ in range(1_000):
                session.step()
    with platform.bank("heir", session_timeout_ms=2000):
        platform.wait_applied(RECORDS)
    report = platform.audit(log)
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert report.records == RECORDS
