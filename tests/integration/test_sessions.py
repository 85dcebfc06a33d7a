"""What roles, databases and neighbours set or hold bends nothing in the Bank."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from uuid import uuid4

import httpx
import psycopg
import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from consumers.bank.database import (
    IDLE_IN_TRANSACTION_SECONDS_MAX,
    LOCK_WAIT_SECONDS_MAX,
    connect,
)
from consumers.bank.posting import Poster
from local.platform import Platform, Program
from local.processes.waiting import wait_until
from once.errors import Defect, Retriable
from once.metrics import Laps
from tests.fix_platform import emit, health_url, transfer, verdict
from tests.integration.posters import Batches, a_poster
from tests.integration.raw import Encoder
from tests.seeding import almighty

pytestmark = pytest.mark.stack


@contextmanager
def role_settings(platform: Platform, **settings: str) -> Iterator[None]:
    """What an administrator sets for role bank in this ledger."""
    where = f'ROLE bank IN DATABASE "{platform.dbname}"'
    superuser = platform.conninfo("postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(f"ALTER {where} SET {name} = '{value}'".encode())
        try:
            yield
        finally:
            connection.execute(f"ALTER {where} RESET ALL".encode())


def test_the_settings_of_a_role_bend_no_promise(platform: Platform) -> None:
    memo = "café"
    repeated = transfer(1, memo=memo)
    with role_settings(
        platform,
        client_encoding="LATIN1",
        default_transaction_isolation="serializable",
        synchronous_commit="off",
        statement_timeout="1ms",
        lock_timeout="1ms",
        idle_in_transaction_session_timeout="1ms",
    ):
        emit(platform, repeated)
        emit(platform, repeated)
        with platform.bank(session_timeout_ms=2000):
            platform.wait_applied(2)
        shown = {
            "client_encoding": "UTF8",
            "synchronous_commit": "on",
            "statement_timeout": "0",
            "transaction_isolation": "read committed",
        }
        with connect(platform.conninfo("bank"), "test") as connection:
            for name, value in shown.items():
                assert connection.execute(f"SHOW {name}".encode()).fetchone() == (
                    value,
                )
    with psycopg.connect(platform.conninfo("audit")) as connection:
        assert connection.execute("SELECT memo FROM transfers").fetchone() == (memo,)
    report = platform.audit()
    assert report.invariants_ok, report.model_dump_json(indent=2)
    assert report.repeats == 1


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_freeze_takes_effect_at_once_whatever_isolation_is_the_default(
    platform: Platform, isolation: str
) -> None:
    line = transfer(1, 101)
    freeze = (
        "SELECT pg_advisory_xact_lock(6071020);"
        " UPDATE accounts_epoch SET epoch = epoch + 1, changed = epoch + 1;"
        " UPDATE accounts SET status = 'frozen' WHERE account = 101"
    )
    with (
        role_settings(platform, default_transaction_isolation=isolation),
        almighty(platform) as admin,
        platform.bank(session_timeout_ms=2000) as bank,
    ):
        admin.execute("BEGIN")
        admin.execute(freeze)
        emit(platform, line)
        wait_until(
            lambda: "a lock is held by" in bank.text,
            what="the Bank to wait",
            timeout_seconds=30,
        )
        admin.execute("COMMIT")
        platform.wait_applied(1)
    assert verdict(platform, line.transfer_id) == "DECLINED_ACCOUNT_FROZEN"


def test_who_holds_everybody_up_is_named_and_nobody_waits_in_silence(
    platform: Platform,
) -> None:
    """A forgotten psql: the Bank stays live, in its group, and says who it is."""
    forgotten = "SELECT pg_advisory_xact_lock(6071020)"
    conninfo = f"{platform.conninfo('migrator')} application_name=lunch"
    with (
        psycopg.connect(conninfo) as admin,
        platform.bank(stall_seconds_max=12, session_timeout_ms=6000) as bank,
    ):
        admin.execute(forgotten.encode())
        emit(platform, transfer(1))
        wait_until(
            lambda: bank.text.count("database is away, trying again") >= 3,
            what="three waits for the lock",
            timeout_seconds=60,
        )
        assert "a lock is held by lunch (role migrator" in bank.text
        assert httpx.get(f"{health_url(bank.text)}/livez").is_success
        ready = httpx.get(f"{health_url(bank.text)}/readyz")
        assert ready.status_code == 503 and "lunch" in ready.text
        assert "partitions revoked" not in bank.text
        admin.rollback()
        platform.wait_applied(1)


def test_a_lock_is_not_waited_for_longer_than_said(platform: Platform) -> None:
    encoder, batches = Encoder(platform), Batches(platform)
    with a_poster(platform) as poster, a_poster(platform) as other:
        other.ledger.advance([batches.slice(0, 0, encoder.transfer())], {0: 0})
        began = monotonic()
        with pytest.raises(Retriable, match="a lock is held by"):
            poster.write([batches.slice(0, 0, encoder.transfer())], Laps())
        assert (
            LOCK_WAIT_SECONDS_MAX - 1 < monotonic() - began < LOCK_WAIT_SECONDS_MAX + 10
        )


def test_a_worker_that_froze_while_it_sent_is_ended_by_its_heir(
    platform: Platform,
) -> None:
    """Postgres waits for its data and does not call that idle; its kernel answers."""
    encoder, batches = Encoder(platform), Batches(platform)
    with a_poster(platform, [0]) as frozen:
        frozen.ledger.advance([batches.slice(0, 0, encoder.transfer())], {0: 0})
        cursor = frozen.ledger.connection.cursor()
        with (
            pytest.raises(psycopg.OperationalError),
            cursor.copy("COPY credits FROM STDIN") as copy,
        ):
            copy.write(b"")
            heir = Poster(connect(platform.conninfo("bank"), "heir"), platform.topic)

            def opened() -> bool:
                try:
                    heir.open([0], "made-by-a-test")
                    return True
                except Retriable as error:
                    assert "a lock is held by test" in str(error)
                    return False

            began = monotonic()
            wait_until(
                opened,
                what="the heir",
                timeout_seconds=IDLE_IN_TRANSACTION_SECONDS_MAX + 30,
            )
            assert monotonic() - began > IDLE_IN_TRANSACTION_SECONDS_MAX - 5
            heir.ledger.connection.close()
            copy.write(b"1\t1\t1\n" * 100_000)


def test_a_worker_that_was_frozen_in_mid_batch_goes_on(platform: Platform) -> None:
    """Its backend was ended meanwhile: 25P03 says only that nothing happened."""
    encoder, batches = Encoder(platform), Batches(platform)
    with a_poster(platform, [0]) as poster:
        connection = poster.ledger.connection
        connection.execute("SET idle_in_transaction_session_timeout = '200ms'")
        connection.commit()
        load = poster.ledger.accounts

        def frozen(numbers: object) -> object:
            watch = psycopg.connect(platform.conninfo("postgres"), autocommit=True)
            pid, query = connection.info.backend_pid, "SELECT FROM pg_stat_activity"
            with watch:
                wait_until(
                    lambda: watch.execute(
                        f"{query} WHERE pid = {pid}".encode()
                    ).fetchone()
                    is None,
                    what="Postgres to end the backend",
                    timeout_seconds=30,
                )
            return load(numbers)  # type: ignore[arg-type]

        poster.ledger.accounts = frozen  # type: ignore[assignment, method-assign]
        with pytest.raises(Retriable, match="25P03"):
            poster.write([batches.slice(0, 0, encoder.transfer())], Laps())


def test_a_database_that_cannot_hold_every_memo_is_refused(platform: Platform) -> None:
    name = f"latin-{platform.name}"
    superuser = platform.stack.conninfo(user="postgres", dbname="postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        make = (
            f'CREATE DATABASE "{name}" ENCODING LATIN1 LC_COLLATE "C" LC_CTYPE "C"'
            " TEMPLATE template0"
        )
        connection.execute(make.encode())
        try:
            conninfo = platform.stack.conninfo(user="bank", dbname=name)
            with platform.bank(conninfo=conninfo) as bank:
                assert ends(bank) in (65, 78)
            assert "UTF8" in bank.text
        finally:
            connection.execute(f'DROP DATABASE "{name}"'.encode())


def test_a_rotated_password_is_read_again_at_the_next_connection(
    platform: Platform, tmp_path: Path
) -> None:
    """The file is new some seconds after the role; until then the Bank waits."""
    file, old = tmp_path / "bank_conninfo", platform.conninfo("bank")
    file.write_text(old)
    password = psycopg.conninfo.conninfo_to_dict(old)["password"]
    environment = platform.environment() | {"ONCE_SECRETS_DIR": str(tmp_path)}
    del environment["BANK_CONNINFO"]
    environment |= {"BANK_INSTANCE": platform.name, "BANK_SESSION_TIMEOUT_MS": "2000"}
    superuser = platform.conninfo("postgres")
    command, log = ["consumers.bank", "run"], platform.logs / "bank.log"
    with (
        psycopg.connect(superuser, autocommit=True) as admin,
        Program(command, environment, log) as bank,
    ):
        emit(platform, transfer(1))
        platform.wait_applied(1)
        try:
            admin.execute("ALTER ROLE bank PASSWORD 'rotated'")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'bank' AND datname = current_database()"
            )
            emit(platform, transfer(1))
            wait_until(
                lambda: "password authentication failed" in bank.text,
                what="the old password to be refused",
                timeout_seconds=30,
            )
            file.write_text(psycopg.conninfo.make_conninfo(old, password="rotated"))
            platform.wait_applied(2)
            assert bank.process.poll() is None
        finally:
            admin.execute(f"ALTER ROLE bank PASSWORD '{password}'".encode())


def test_a_topic_that_forgets_by_key_is_refused(platform: Platform) -> None:
    """Compaction of a topic keyed by payer keeps each payer's last payment only."""
    admin = platform.admin()
    resource = ConfigResource(ConfigResource.Type.TOPIC, platform.topic)
    resource.add_incremental_config(
        ConfigEntry(
            "cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET
        )
    )
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)
    with platform.bank() as bank:
        assert ends(bank) in (65, 78)
    assert "cleanup.policy" in bank.text.splitlines()[-1]


def ends(program: Program) -> int:
    return program.process.wait(60)


def test_a_wrong_password_at_the_first_start_is_a_wrong_setting(
    platform: Platform,
) -> None:
    for wrong in ({"password": "wrong"}, {"dbname": f"none-{uuid4()}"}):
        conninfo = psycopg.conninfo.make_conninfo(platform.conninfo("bank"), **wrong)
        with platform.bank(conninfo=conninfo) as bank:
            assert ends(bank) == 78
        assert "look at BANK_CONNINFO" in bank.text.splitlines()[-1]
        with pytest.raises((Defect, Retriable)):
            connect(conninfo, "test")
