"""Made-up transfers at a rate: none too many, and none younger than it should be."""

from __future__ import annotations

import time
from itertools import pairwise
from uuid import UUID

import pytest

from producers.store.generate import Generator, Population
from producers.store.settings import StoreSettings
from producers.store.stream import paced
from producers.store.transfers import now_ms

STALL_SECONDS = 0.3


@pytest.fixture
def settings() -> StoreSettings:
    return StoreSettings(
        bootstrap_servers="unused:1",
        registry_url="http://unused",
        transaction_interval_ms=10,
    )


def test_what_a_stall_held_up_was_created_when_it_was_due(
    settings: StoreSettings,
) -> None:
    chunks = paced(Generator(Population()), settings, count=400, rate=1000)
    created = list(next(chunks).created_at_ms)
    time.sleep(STALL_SECONDS)  # as a commit that takes long
    after = next(chunks)
    assert now_ms() - after.created_at_ms[0] > 0.9 * STALL_SECONDS * 1000
    created += [
        *after.created_at_ms,
        *(ms for each in chunks for ms in each.created_at_ms),
    ]
    assert len(created) == 400
    assert all(0 <= later - earlier <= 2 for earlier, later in pairwise(created))


def test_the_id_has_the_time_of_creation(settings: StoreSettings) -> None:
    (chunk,) = paced(Generator(Population()), settings, count=1, rate=1000)
    (raw,) = chunk.transfer_ids
    assert UUID(bytes=raw).version == 7
    assert int.from_bytes(raw[:6], "big") == chunk.created_at_ms[0]


def test_a_rate_below_one_in_a_linger_is_kept(settings: StoreSettings) -> None:
    began = time.monotonic()
    found = list(paced(Generator(Population()), settings, count=4, rate=20))
    assert sum(map(len, found)) == 4
    assert time.monotonic() - began > 0.19  # the fourth is due after 0.2 s


def test_without_a_rate_chunks_are_as_large_as_they_may_be(
    settings: StoreSettings,
) -> None:
    found = paced(Generator(Population()), settings, count=45_000, rate=None)
    assert [len(each) for each in found] == [20_000, 20_000, 5_000]
