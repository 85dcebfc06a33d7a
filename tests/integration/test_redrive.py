"""Quarantine is not one-way: a record is put back, once, when its cause is mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

import httpx
import psycopg
import pytest

from consumers.bank.redrive import Redriver
from consumers.bank.settings import KafkaAndRegistry
from local.platform import Platform, Program
from local.processes.waiting import wait_until
from once import resources
from once.errors import Refused
from once.registry import Registry, load_schema
from tests.fix_platform import verdict
from tests.integration.published import wait_for_results
from tests.integration.raw import Foreign, Raw, id_of, partition_of
from tests.integration.schemas import Schemas

pytestmark = pytest.mark.stack

PAYER = 1
KEY = b"%d" % PAYER
PLACE = partition_of(PAYER)


def apply(platform: Platform, records: int) -> None:
    with platform.bank(session_timeout_ms=2000) as bank:
        platform.wait_applied(records)
        assert bank.terminate() == 0


def quarantine(platform: Platform, *arguments: str) -> tuple[int, str]:
    """Exit status and words of the command line."""
    command = ["consumers.bank", "quarantine", *arguments]
    log = platform.logs / f"quarantine-{'-'.join(arguments)}.log"
    with Program(command, platform.environment(), log) as program:
        return program.process.wait(60), program.text


@pytest.fixture
def redriver(platform: Platform) -> Iterator[Redriver]:
    settings = KafkaAndRegistry(
        bootstrap_servers=platform.stack.endpoints.bootstrap_servers,
        registry_url=platform.stack.endpoints.registry_url,
        topic=platform.topic,
        group=platform.group,
    )
    with psycopg.connect(platform.conninfo("migrator")) as connection:
        redriver = Redriver(settings, connection)
        yield redriver
        redriver.close()


def links(platform: Platform) -> list[tuple[int, int, UUID, int, int | None]]:
    query = (
        "SELECT partition, record_offset, transfer_id, new_partition, new_offset"
        " FROM redrives ORDER BY 1, 2"
    )
    with psycopg.connect(platform.conninfo("audit")) as connection:
        return connection.execute(query).fetchall()


def test_a_record_with_a_wrong_key_is_put_back_under_the_right_one(
    platform: Platform,
) -> None:
    with Foreign(platform) as foreign:
        wrong = Raw(PAYER.to_bytes(8, "big"), foreign.value())
        (offset,) = foreign.send(wrong, partition=(PLACE + 1) % 3)
    apply(platform, 1)
    where = (str((PLACE + 1) % 3), str(offset))
    status, words = quarantine(platform, "show", *where)
    assert status == 0, words
    shown = json.loads(words)
    assert shown["reason"] == "KEY_MISMATCH"
    assert "use a string serializer for keys" in shown["detail"]

    status, words = quarantine(platform, "redrive", *where)
    assert status == 0, words
    status, again = quarantine(platform, "redrive", *where, where[1])
    assert status == 0 and "was put back before" in again
    apply(platform, 2)
    assert verdict(platform, id_of(wrong)) == "POSTED"
    ((_, _, transfer_id, new_partition, _),) = links(platform)
    assert (transfer_id, new_partition) == (id_of(wrong), PLACE)
    status, words = quarantine(platform, "list")
    assert "KEY_MISMATCH" in words and f"[{PLACE}]@" in words
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert report.records == 2


def test_a_record_of_our_own_store_is_put_back_without_a_gap(
    platform: Platform, redriver: Redriver
) -> None:
    """Its emitter stays, so its Store learns the verdict; nobody sees a hole."""
    emitter = bytes(range(16))
    with Foreign(platform) as foreign:
        numbered = [
            foreign.transfer(emitter=emitter, emitter_sequence=n) for n in range(3)
        ]
        wrong = Raw(b"2", numbered[1].value)
        offsets = foreign.send(numbered[0], wrong, numbered[2], partition=PLACE)
    apply(platform, 3)
    redriver.redrive(PLACE, offsets[1])
    apply(platform, 4)
    found = wait_for_results(platform, 4)
    mine = [r.verdict for r in found if r.transfer_id == id_of(wrong)]
    assert sorted(mine) == ["POSTED", "QUARANTINED"]
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)


def test_a_redrive_that_died_after_sending_is_found_and_not_sent_again(
    platform: Platform, redriver: Redriver
) -> None:
    with Foreign(platform) as foreign:
        wrong = Raw(b"x", foreign.value())
        (offset,) = foreign.send(wrong, partition=PLACE)
    apply(platform, 1)
    redriver.redrive(PLACE, offset)
    with psycopg.connect(platform.conninfo("migrator")) as connection:
        connection.execute("UPDATE redrives SET new_offset = NULL")  # died before 3
    redriver.redrive(PLACE, offset)
    apply(platform, 2)
    ((*_, new_offset),) = links(platform)
    assert new_offset is not None
    assert len(wait_for_results(platform, 2)) == 2
    assert platform.audit().repeats == 0


def test_a_redrive_that_died_before_sending_is_sent_by_the_next(
    platform: Platform, redriver: Redriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(Exception):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    with Foreign(platform) as foreign:
        wrong = Raw(b"x", foreign.value())
        (offset,) = foreign.send(wrong, partition=PLACE)
    apply(platform, 1)
    with monkeypatch.context() as patched:
        patched.setattr("consumers.bank.redrive.TransactionalProducer.send", die)
        with pytest.raises(Died):
            redriver.redrive(PLACE, offset)
    redriver.redrive(PLACE, offset)
    apply(platform, 2)
    assert verdict(platform, id_of(wrong)) == "POSTED"
    assert platform.audit().invariants_ok


def test_what_is_still_no_transfer_is_not_put_back(
    platform: Platform, redriver: Redriver
) -> None:
    with Foreign(platform) as foreign:
        offsets = foreign.send(
            Raw(KEY, b"garbage"), foreign.transfer(memo="a\0b"), partition=PLACE
        )
    apply(platform, 2)
    for offset in offsets:
        with pytest.raises(Refused, match="is still no transfer"):
            redriver.redrive(PLACE, offset)
    with pytest.raises(Refused, match="nothing of .* is set aside"):
        redriver.redrive(PLACE, offsets[-1] + 5)
    assert links(platform) == []


def test_an_id_that_the_registry_learns_in_time_condemns_nothing(
    platform: Platform,
) -> None:
    """As when a replica of the registry lags behind."""
    added = a_field(platform)
    newer = Schemas(platform).newer(added)
    strange, registry = Raw(KEY, newer(**{added["name"]: "web"})), Forgetful(platform)
    registry.forget(version=2)
    with Foreign(platform) as foreign, platform.bank() as bank:
        foreign.send(strange, foreign.transfer())
        wait_until(
            lambda: "asked again for" in bank.text, what="the wait", timeout_seconds=30
        )
        assert platform.applied() == 0
        registry.learn(added)
        platform.wait_applied(2)
    assert verdict(platform, id_of(strange)) == "POSTED"


def test_a_registry_that_forgot_our_schema_does_not_condemn_the_log(
    platform: Platform, redriver: Redriver
) -> None:
    added = a_field(platform)
    newer = Schemas(platform).newer(added)
    records = [Raw(KEY, newer(**{added["name"]: "web"})) for _ in range(30)]
    registry = Forgetful(platform)
    registry.forget(version=2)
    settings = {"unknown_schema_seconds": 1, "doubtful_in_a_row_max": 20}
    with Foreign(platform) as foreign, platform.bank("a", **settings) as bank:
        elsewhere = foreign.transfer(debit_account=OTHER)
        foreign.send(*records, elsewhere)
        wait_until(
            lambda: "30 records in a row read as payments" in bank.text,
            what="a refusal",
            timeout_seconds=60,
        )
        wait_until(
            lambda: verdict(platform, id_of(elsewhere)) == "POSTED",
            what="the other partitions to go on",
            timeout_seconds=30,
        )
    with psycopg.connect(platform.conninfo("audit")) as connection:
        row = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    assert row == (0,)
    registry.learn(added)
    with platform.bank("b", **settings):
        platform.wait_applied(31)
    assert verdict(platform, id_of(records[-1])) == "POSTED"


OTHER = next(n for n in range(2, 99) if partition_of(n) != PLACE)


def a_field(platform: Platform) -> dict[str, str]:
    """A field that no other test has: an id is one of a content, whoever has it."""
    return {"name": f"field_{platform.name}", "type": "string", "default": ""}


class Forgetful:
    """The registry, made to lose a version and to be told of it again."""

    def __init__(self, platform: Platform) -> None:
        self._url = platform.stack.endpoints.registry_url
        self._subject = f"{platform.topic}-value"

    def forget(self, version: int) -> None:
        place = f"{self._url}/subjects/{self._subject}/versions/{version}"
        httpx.delete(place).raise_for_status()
        httpx.delete(f"{place}?permanent=true").raise_for_status()

    def learn(self, field: dict[str, str]) -> None:
        schema = load_schema(resources.find("avro/transfer.avsc"))
        schema["fields"].append(field)
        registry = Registry(self._url)
        registry.register(self._subject, schema)
        registry.close()
