"""Small batches grow until they are worth a row, whoever posts, dies and goes on."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from consumers.bank import chaining
from consumers.bank.observe import Point
from local.platform import Platform
from once.errors import Fenced
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.generate import Generator, Population
from tests.fix_platform import MERCHANTS, PAYERS, a_store
from tests.integration.posters import Batches, a_poster, post
from tests.integration.raw import Foreign
from tests.integration.spoilt import broken
from tests.integration.test_crash_points import (
    Cut,
    a_session,
)

pytestmark = pytest.mark.stack

FIRST, FULL = 8, 40  # fewer than there are: each poll is a COMMIT


def rows(platform: Platform, of: str) -> list[tuple[int, int]]:
    """Number and records of each batch of partition 0."""
    query = f"SELECT batch_number, records FROM {of} WHERE partition = 0 ORDER BY 1"
    with psycopg.connect(platform.conninfo("audit")) as connection:
        return connection.execute(query.encode()).fetchall()


def wrong(platform: Platform) -> set[str]:
    """The broken invariants, but for results: posters publish none."""
    return set(broken(platform.audit())) - {"I8"}


def test_polls_of_one_record_make_a_row_of_many(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, one after the other; the audit reads the same chain as ever."""
    monkeypatch.setattr(chaining, "FIRST_BATCHES", FIRST)
    monkeypatch.setattr(chaining, "RECORDS_MIN", FULL)
    with Foreign(platform) as foreign:
        records = [foreign.transfer(amount=1) for _ in range(FIRST + FULL + 7)]
        foreign.send(*records, partition=0)
    batches = Batches(platform)
    with a_poster(platform, [0]) as poster:
        for offset, record in enumerate(records[:-2]):
            post(poster, batches.slice(0, offset, record))
    first = [(number, 1) for number in range(1, FIRST + 1)]
    closed = [*first, (FIRST + 1, FULL)]
    assert rows(platform, "batches") == closed
    assert rows(platform, "all_batches") == [*closed, (FIRST + 2, 5)]
    assert wrong(platform) == set()

    with a_poster(platform, [0]) as heir:
        for offset, record in enumerate(records[-2:], len(records) - 2):
            post(heir, batches.slice(0, offset, record))
    closed.append((FIRST + 2, 5))
    assert rows(platform, "batches") == closed
    assert rows(platform, "all_batches") == [*closed, (FIRST + 3, 2)]
    assert wrong(platform) == set()

    with psycopg.connect(platform.conninfo("postgres")) as connection:
        connection.execute("UPDATE positions SET hash = sha256(hash)")
    assert wrong(platform) == {"I6"}


def test_a_woken_worker_that_would_close_what_its_heir_has_closed_is_fenced(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were given a partition whose batch was open; one has gone on."""
    monkeypatch.setattr(chaining, "FIRST_BATCHES", 0)
    with Foreign(platform) as foreign:
        records = [foreign.transfer(amount=1) for _ in range(2)]
        foreign.send(*records, partition=0)
    batches = Batches(platform)
    with a_poster(platform, [0]) as first:
        post(first, batches.slice(0, 0, records[0]))
    with a_poster(platform, [0]) as frozen, a_poster(platform, [0]) as heir:
        post(heir, batches.slice(0, 1, records[1]))
        with pytest.raises(Fenced):
            post(frozen, batches.slice(0, 1, records[1]))
    assert wrong(platform) == set()


def test_a_worker_that_dies_with_a_batch_open_has_an_heir(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group's offset is at an end within the open batch, and is known there."""
    monkeypatch.setattr(chaining, "FIRST_BATCHES", 0)
    generator = Generator(
        Population(accounts=PAYERS, merchants=MERCHANTS, amount_max=100), 1
    )
    log = tmp_path / "acknowledged"
    with a_store(platform) as store, AcknowledgementLog(log) as acknowledged:
        store.emit([generator.chunk(600)], acknowledged)
    with a_session(platform, batch_records_max=20) as (session, observer):
        while platform.applied() < 300:
            session.step()
        observer.dies_at = Point.COMMITTED
        with pytest.raises(Cut):
            for _ in range(1_000):
                session.step()
    with psycopg.connect(platform.conninfo("audit")) as connection:
        found = connection.execute(
            "SELECT count(*) FROM all_batches WHERE open AND records > 20"
        ).fetchone()
    assert found is not None and found[0] > 0, "no batch was open"
    with platform.bank("heir", session_timeout_ms=2000) as bank:
        platform.wait_applied(600)
        assert bank.terminate() == 0
    assert broken(platform.audit()) == {}
