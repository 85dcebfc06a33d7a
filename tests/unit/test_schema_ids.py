"""An unknown schema id is waited for, and garbage costs a bounded time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consumers.bank.schema_ids import IDS_WAITED_FOR_MAX, VAIN_SECONDS, SchemaIds
from once import resources
from once.errors import Retriable
from once.registry import Registry, UnknownSchema, load_schema
from tests.contract.registry_server import Schema, serving

OURS = load_schema(resources.find("avro/transfer.avsc"))
PATIENCE = 8.0


class Bench:
    """Ids asked of a real registry client, at times of the test's choice."""

    def __init__(self, url: str, schemas: dict[int, Schema]) -> None:
        self.now = 1_000.0
        self.schemas = schemas
        self.ids = SchemaIds(
            Registry(url), [OURS], lambda: None, PATIENCE, lambda: self.now
        )

    def condemned(self, *ids: int) -> bool:
        """Whether a batch with these ids goes on without them."""
        try:
            with self.ids.asking():
                for each in ids:
                    try:
                        self.ids.writer(each)
                    except UnknownSchema:
                        pass
        except Retriable as error:
            assert "is not in the registry (yet)" in str(error)
            return False
        return True

    def waited(self, schema_id: int) -> float:
        """How long it takes until this id is condemned."""
        began = self.now
        while not self.condemned(schema_id):
            self.now += 0.25
        return self.now - began


@pytest.fixture
def bench() -> Iterator[Bench]:
    schemas: dict[int, Schema] = {1: OURS}
    with serving(schemas) as url:
        yield Bench(url, schemas)


def test_an_id_that_becomes_known_in_time_is_read(bench: Bench) -> None:
    assert not bench.condemned(7)
    bench.now += PATIENCE / 2
    bench.schemas[7] = OURS
    assert bench.condemned(7)
    assert bench.ids.writer(7)["name"] == "once.payments.Transfer"


def test_an_id_that_stays_unknown_is_condemned_after_the_patience(
    bench: Bench,
) -> None:
    assert bench.waited(7) == PATIENCE


def test_a_flood_of_garbage_costs_twice_the_patience_at_most(bench: Bench) -> None:
    assert sum(bench.waited(n) for n in range(10, 40)) <= 2 * PATIENCE + 30 * 0.25
    bench.now += VAIN_SECONDS
    assert bench.waited(99) == PATIENCE


def test_thousands_of_garbage_ids_one_after_the_other_end_nothing(
    bench: Bench,
) -> None:
    """Found by fuzzing: 2 ** 1024 is no float."""
    for number in range(1_000, 3_000):
        bench.waited(number)
    assert bench.condemned(1)


def test_more_ids_at_once_than_ever_were_new_are_garbage(bench: Bench) -> None:
    assert bench.condemned(*range(10, 11 + IDS_WAITED_FOR_MAX))
