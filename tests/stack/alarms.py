"""Faults that one machine can have, and whom they wake.

Rules run thirty times as fast here as on a cluster: what waits for five minutes waits
for ten seconds. Their thresholds are as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from local.platform import Platform, Program
from local.processes.waiting import wait_until
from local.stack import Stack
from tests.fix_platform import PARTITIONS, emit, transfer
from tests.integration.api import payment, put
from tests.integration.kafka_admin import set_group_offsets
from tests.integration.raw import Foreign, Raw, partition_of

HURRY = 30.0
PAYER = 1
PARTITION = partition_of(PAYER)
SPARE = "spare"
CUT_OFF = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE usename = 'bank' AND wait_event = 'SyncRep'"
)
SECONDS = 30.0
CONNECTIONS = 165  # of 200


@dataclass
class Scene:
    """A platform at rest, with one worker and one Store that is asked by HTTP."""

    platform: Platform
    bank: Program = field(init=False)
    store: Program = field(init=False)

    def __post_init__(self) -> None:
        self.start_bank()
        self.start_store()

    @property
    def stack(self) -> Stack:
        return self.platform.stack

    def start_bank(self) -> None:
        """It or its successor."""
        self.bank = self.platform.bank(session_timeout_ms=2000)

    def start_store(self) -> None:
        """It or its successor."""
        self.store = self.platform.store_api()
        self.store.url()

    def kill(self) -> None:
        """Both, at the end."""
        self.bank.kill()
        self.store.kill()

    def as_superuser(self, statement: str) -> list[Any]:
        """What the primary answers."""
        conninfo = self.platform.conninfo("postgres")
        with psycopg.connect(conninfo, autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Payments by HTTP, one after the other, whatever is answered."""
        leaving = threading.Event()

        def pay() -> None:
            while not leaving.wait(0.02):
                with suppress(httpx.HTTPError):
                    put(self.store.url(), payment())

        threads = [threading.Thread(target=pay, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            leaving.set()
            for thread in threads:
                thread.join()

    def standbys(self) -> list[str]:
        """The nodes that do not lead."""
        leader = self.stack.postgres.leader()
        return [
            name for name in self.stack.postgres.processes if name not in (leader, None)
        ]

    @contextmanager
    def killed(self, *names: str) -> Iterator[None]:
        """These parts are away, as in a power cut."""
        for name in names:
            self.stack.processes[name].kill()
        try:
            yield
        finally:
            self.stack.start_missing()


@contextmanager
def bank_is_killed(scene: Scene) -> Iterator[None]:
    scene.bank.kill()
    try:
        yield
    finally:
        scene.start_bank()


@contextmanager
def store_is_killed(scene: Scene) -> Iterator[None]:
    scene.store.kill()
    try:
        yield
    finally:
        scene.start_store()


@contextmanager
def transactions_hang(scene: Scene) -> Iterator[None]:
    with ExitStack() as stack:
        for partition in range(PARTITIONS):
            foreign = stack.enter_context(Foreign(scene.platform))
            held = foreign.holding(foreign.transfer(), partition=partition)
            stack.enter_context(held)
        with scene.traffic():
            yield


@contextmanager
def ledger_is_behind(scene: Scene) -> Iterator[None]:
    """In one partition more is published than was applied."""
    applied = scene.platform.applied
    before = applied()
    emit(scene.platform, transfer(PAYER))
    wait_until(lambda: applied() > before, what="a payment", timeout_seconds=SECONDS)
    scene.bank.terminate()
    position = scene.platform.positions()[PARTITION]
    emit(scene.platform, *[transfer(PAYER) for _ in range(9)])
    set_group_offsets(scene.platform, {PARTITION: position + 6})
    scene.start_bank()
    try:
        yield
    finally:
        scene.bank.terminate()
        set_group_offsets(scene.platform, {PARTITION: position})
        scene.start_bank()


@contextmanager
def strange_record(scene: Scene) -> Iterator[None]:
    with Foreign(scene.platform) as foreign:
        foreign.send(Raw(b"1", b"no Avro"))
    yield


@contextmanager
def records_are_missing(scene: Scene) -> Iterator[None]:
    emitter = uuid4().bytes
    with Foreign(scene.platform) as foreign:
        for sequence in (0, 5):
            foreign.send(foreign.transfer(emitter=emitter, emitter_sequence=sequence))
    yield


@contextmanager
def standbys_stutter(scene: Scene) -> Iterator[None]:
    """Each commit waits for a standby that hangs for two seconds at a time."""
    nodes = [scene.stack.processes[name] for name in scene.standbys()]
    leaving = threading.Event()

    def stutter() -> None:
        while not leaving.is_set():
            for node in nodes:
                node.pause()
            leaving.wait(2.5)
            for node in nodes:
                node.resume()
            leaving.wait(0.3)

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        with scene.traffic():
            yield
    finally:
        leaving.set()
        thread.join()


@contextmanager
def commit_is_cut_off(scene: Scene) -> Iterator[None]:
    nodes = [scene.stack.processes[name] for name in scene.standbys()]
    for node in nodes:
        node.pause()
    try:
        emit(scene.platform, transfer(PAYER))
        wait_until(
            lambda: bool(scene.as_superuser(CUT_OFF)),
            what="a commit that waits for a standby",
            timeout_seconds=10,
        )
    finally:
        for node in nodes:
            node.resume()
    yield


@contextmanager
def standbys_are_away(scene: Scene) -> Iterator[None]:
    with scene.killed(*scene.standbys()):
        yield


@contextmanager
def all_databases_are_away(scene: Scene) -> Iterator[None]:
    with scene.killed(*scene.stack.postgres.processes):
        yield


@contextmanager
def bank_may_create(scene: Scene) -> Iterator[None]:
    scene.as_superuser("GRANT CREATE ON DATABASE ledger TO bank")
    try:
        yield
    finally:
        scene.as_superuser("REVOKE CREATE ON DATABASE ledger FROM bank")


@contextmanager
def connections_are_left_open(scene: Scene) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            conninfo = scene.platform.conninfo("migrator")
            stack.enter_context(psycopg.connect(conninfo))
        yield


@contextmanager
def broker_is_away(scene: Scene) -> Iterator[None]:
    with scene.killed("kafka-3"):
        yield


@contextmanager
def broker_is_away_and_all_are_needed(scene: Scene) -> Iterator[None]:
    with _spare_topic(scene, [1, 2, 3]):
        every = ConfigEntry(
            "min.insync.replicas", "3", incremental_operation=AlterConfigOpType.SET
        )
        topic = ConfigResource(
            ConfigResource.Type.TOPIC, SPARE, incremental_configs=[every]
        )
        admin = scene.platform.admin()  # kept until its answer is there
        for done in admin.incremental_alter_configs([topic]).values():
            done.result(SECONDS)
        with scene.killed("kafka-3"):
            yield


@contextmanager
def only_replica_is_away(scene: Scene) -> Iterator[None]:
    with _spare_topic(scene, [3]), scene.killed("kafka-3"):
        yield


@contextmanager
def quorum_is_away(scene: Scene) -> Iterator[None]:
    with scene.killed("kafka-2", "kafka-3"):
        yield


@contextmanager
def all_brokers_are_away(scene: Scene) -> Iterator[None]:
    with scene.traffic(), scene.killed(*scene.stack.kafka.processes):
        yield


@contextmanager
def _spare_topic(scene: Scene, replicas: list[int]) -> Iterator[None]:
    """A topic that nobody needs, on these brokers."""
    admin = scene.platform.admin()
    wanted = NewTopic(SPARE, 1, replica_assignment=[replicas])
    admin.create_topics([wanted])[SPARE].result(SECONDS)
    try:
        yield
    finally:
        admin.delete_topics([SPARE])[SPARE].result(SECONDS)


@dataclass(frozen=True)
class Fault:
    """What happens, and what it must raise; `also` may come along, and need not."""

    happens: Callable[[Scene], AbstractContextManager[None]]
    raises: frozenset[str]
    also: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.happens.__name__


def _names(*names: str) -> frozenset[str]:
    return frozenset(names)


# A worker or a Store that is started again is away for a moment; and what waited is
# posted late afterwards.
AGAIN = _names("BankAway", "StoreAway", "PostedLate")
BROKERS = _names("KafkaUnderReplicated", "KafkaUnderMinIsr", "KafkaNotOneController")
STORE = _names(
    *("NoVerdicts", "StoreSlow", "StoreTransactionsFail", "StoreTransactionsSlow")
)
FAULTS = (
    Fault(bank_is_killed, _names("BankAway")),
    Fault(store_is_killed, _names("StoreAway")),
    Fault(transactions_hang, _names("LagStays", "NoVerdicts"), AGAIN),
    Fault(ledger_is_behind, _names("PartitionRefused"), AGAIN),
    Fault(strange_record, _names("Quarantine")),
    Fault(records_are_missing, _names("EmitterGap")),
    Fault(standbys_stutter, _names("BankSlow", "PostedLate")),
    Fault(commit_is_cut_off, _names("CommitsUnknown"), AGAIN),
    Fault(standbys_are_away, _names("LedgerHasNoStandby")),
    Fault(
        all_databases_are_away,
        _names("LedgerHasNoPrimary"),
        AGAIN | {"LedgerHasNoStandby", "SessionsEnd"},
    ),
    Fault(bank_may_create, _names("LedgerRolesHaveTooMuch")),
    Fault(connections_are_left_open, _names("LedgerConnectionsRunOut")),
    Fault(broker_is_away, _names("KafkaUnderReplicated")),
    Fault(
        broker_is_away_and_all_are_needed,
        _names("KafkaUnderMinIsr"),
        _names("KafkaUnderReplicated"),
    ),
    Fault(
        only_replica_is_away,
        _names("KafkaPartitionsOffline"),
        _names("KafkaUnderReplicated"),
    ),
    Fault(quorum_is_away, _names("KafkaNotOneController"), AGAIN | BROKERS),
    Fault(
        all_brokers_are_away,
        _names("KafkaMetricsMissing", "StoreAnswers5xx"),
        AGAIN | BROKERS | STORE,
    ),
)
