"""Posters that race, and COMMITs whose answer is lost, on the real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from consumers.bank.posting import Poster
from local.platform import Platform
from local.stack import Stack
from once.errors import Conflict, Fenced, Indeterminate, Refused
from tests.fix_platform import balance
from tests.integration.posters import (
    Batches,
    a_poster,
    post,
    rows,
    signal_backend,
    wait_until_blocked,
    write,
)
from tests.integration.raw import Encoder, Raw, id_of

pytestmark = pytest.mark.stack

# By number, as in Avro and in SQL.
POSTED, FROZEN, FUNDS, EXISTS, DIFFERENT, CHANGED = 1, 3, 5, 9, 10, 12


@pytest.fixture
def encoder(platform: Platform) -> Encoder:
    return Encoder(platform)


@pytest.fixture
def batches(platform: Platform) -> Batches:
    return Batches(platform)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def connection(poster: Poster) -> psycopg.Connection:
    return poster.ledger.connection


def test_of_two_who_race_for_a_partition_one_posts_and_one_is_fenced(
    platform: Platform, encoder: Encoder, batches: Batches, pool: ThreadPoolExecutor
) -> None:
    won, lost = encoder.transfer(), encoder.transfer(debit_account=2)
    with a_poster(platform) as one, a_poster(platform) as other:
        posting = write(one, batches.slice(0, 0, won))
        racing = pool.submit(write, other, batches.slice(0, 0, lost))
        wait_until_blocked(platform, connection(other))
        one.commit(posting)
        with pytest.raises(Fenced):
            racing.result(20)
        # It has learned nothing, so it goes on being refused.
        with pytest.raises(Fenced):
            write(other, batches.slice(0, 0, lost))
    assert list(rows(platform)) == [id_of(won)]
    assert (balance(platform, 1), balance(platform, 2)) == (-100, 0)


def test_one_who_waited_for_a_loser_posts(
    platform: Platform, encoder: Encoder, batches: Batches, pool: ThreadPoolExecutor
) -> None:
    lost, won = encoder.transfer(), encoder.transfer(debit_account=2)
    with a_poster(platform) as one, a_poster(platform) as other:
        write(one, batches.slice(0, 0, lost))
        racing = pool.submit(post, other, batches.slice(0, 0, won))
        wait_until_blocked(platform, connection(other))
        signal_backend(platform, connection(one), "pg_terminate_backend")
        assert racing.result(20) == [[POSTED]]
    assert list(rows(platform)) == [id_of(won)]


def test_whoever_is_fenced_in_one_partition_writes_in_none(
    platform: Platform, encoder: Encoder, batches: Batches
) -> None:
    first, second = encoder.transfer(), encoder.transfer(debit_account=2)
    with a_poster(platform) as one, a_poster(platform) as other:
        post(one, batches.slice(0, 0, first))
        with pytest.raises(Fenced):
            write(
                other,
                batches.slice(0, 0, first),
                batches.slice(1, 0, second),
            )
        assert post(one, batches.slice(1, 0, second)) == [[POSTED]]


@pytest.mark.parametrize(
    ("changed", "verdict"), [({}, EXISTS), ({"amount": 99}, DIFFERENT)]
)
def test_an_id_sent_to_two_partitions_at_once_is_posted_once(
    platform: Platform,
    encoder: Encoder,
    batches: Batches,
    pool: ThreadPoolExecutor,
    changed: dict[str, int],
    verdict: int,
) -> None:
    first = encoder.transfer()
    again = encoder.transfer(transfer_id=id_of(first).bytes, **changed)
    with a_poster(platform, [0]) as one, a_poster(platform, [1]) as other:
        posting = write(one, batches.slice(0, 0, first))
        second = batches.slice(1, 0, again)
        racing = pool.submit(write, other, second)
        wait_until_blocked(platform, connection(other))
        one.commit(posting)
        with pytest.raises(Conflict):
            racing.result(20)
        assert post(other, second) == [[verdict]]
    assert rows(platform) == {id_of(first): (0, 0, "POSTED")}
    assert balance(platform, 101) == 100


def test_a_remembered_account_that_another_debited_is_read_again(
    platform: Platform, encoder: Encoder, batches: Batches
) -> None:
    """While the number of partitions changes, two may debit one account."""
    half = 600_000  # of a limit of a million
    with a_poster(platform, [0]) as one, a_poster(platform, [1]) as other:
        post(one, batches.slice(0, 0, encoder.transfer(amount=1)))
        post(other, batches.slice(1, 0, encoder.transfer(amount=half)))
        stale = batches.slice(0, 1, encoder.transfer(amount=half))
        with pytest.raises(Conflict):
            write(one, stale)
        (said,) = post(one, stale)
    assert said == [FUNDS], "decided on what the other left over"
    assert balance(platform, 1) == -half - 1


def test_a_change_of_an_account_waits_for_the_batch_and_binds_the_next(
    platform: Platform, encoder: Encoder, batches: Batches, pool: ThreadPoolExecutor
) -> None:
    freeze = batches.slice(1, 0, encoder.change(account=1, status="FROZEN"))
    with a_poster(platform, [0]) as poster, a_poster(platform, [1]) as other:
        posting = write(poster, batches.slice(0, 0, encoder.transfer()))
        freezing = pool.submit(post, other, freeze)
        wait_until_blocked(platform, other.ledger.connection)
        poster.commit(posting)
        assert freezing.result(20) == [[CHANGED]]
        said = post(poster, batches.slice(0, 1, encoder.transfer()))
    assert (posting.verdicts, said) == ([[POSTED]], [[FROZEN]])


def test_transfers_wait_for_a_change_that_is_under_way(
    platform: Platform, encoder: Encoder, batches: Batches, pool: ThreadPoolExecutor
) -> None:
    freeze = batches.slice(1, 0, encoder.change(account=1, status="FROZEN"))
    with a_poster(platform, [0]) as poster, a_poster(platform, [1]) as other:
        freezing = write(other, freeze)
        paying = pool.submit(post, poster, batches.slice(0, 0, encoder.transfer()))
        wait_until_blocked(platform, poster.ledger.connection)
        other.commit(freezing)
        assert paying.result(20) == [[FROZEN]]


def test_a_row_that_no_record_stands_behind_is_refused(platform: Platform) -> None:
    """Also to the Bank's own role, and to the tables' owner."""
    change = (
        "INSERT INTO account_changes (account, epoch, verdict, currency, status,"
        " credit_limit, changed_by) SELECT 1, epoch + 1, 12, 'EUR', 'open', 9, 'me'"
        " FROM accounts_epoch"
    )
    by_hand = "UPDATE accounts SET credit_limit = 9 WHERE account = 1"
    for role, statement in (
        ("bank", change),
        ("migrator", change),
        ("migrator", by_hand),
    ):
        with psycopg.connect(platform.conninfo(role)) as connection:
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation) as refused:
                connection.execute(statement.encode())
        assert "log" in str(refused.value)


def test_a_position_that_was_moved_back_is_refused_and_not_redone_for_ever(
    platform: Platform, encoder: Encoder, batches: Batches
) -> None:
    """Only the index of transfer ids is healed by a redo."""
    with a_poster(platform, [0]) as poster:
        post(poster, batches.slice(0, 5, Raw(b"1", b"garbage")))
    with psycopg.connect(platform.conninfo("migrator")) as connection:
        connection.execute("UPDATE positions SET next_offset = 0, batch_number = 0")
    with a_poster(platform, [0]) as poster:
        with pytest.raises(Refused, match="was a position moved by hand") as refused:
            write(poster, batches.slice(0, 5, Raw(b"1", b"garbage")))
    assert refused.value.partition == 0
    assert "docs/runbooks/ledger-behind.md" in str(refused.value)


def test_a_commit_that_died_before_it_was_done_is_redone(
    platform: Platform, encoder: Encoder, batches: Batches
) -> None:
    record = encoder.transfer()
    batch = batches.slice(0, 0, record)
    with a_poster(platform) as poster, a_poster(platform) as new:
        posting = write(poster, batch)
        signal_backend(platform, connection(poster), "pg_terminate_backend")
        with pytest.raises(Indeterminate):
            poster.commit(posting)
        new.positions = poster.positions
        assert new.committed(posting) is False
        assert post(new, batch) == [[POSTED]]
    assert rows(platform) == {id_of(record): (0, 0, "POSTED")}
    assert balance(platform, 1) == -100


def test_a_commit_that_was_done_is_found_done(
    platform: Platform, encoder: Encoder, batches: Batches
) -> None:
    first, second = encoder.transfer(), encoder.transfer()
    with a_poster(platform) as poster, a_poster(platform) as new:
        posting = write(poster, batches.slice(0, 0, first))
        poster.ledger.connection.commit()  # its answer never reached the poster
        new.positions = poster.positions
        assert new.committed(posting) is True
        assert post(new, batches.slice(0, 1, second)) == [[POSTED]]
    assert set(rows(platform)) == {id_of(first), id_of(second)}


def test_a_commit_of_positions_that_a_third_has_moved_is_fenced(
    platform: Platform, encoder: Encoder, batches: Batches
) -> None:
    first, second = encoder.transfer(), encoder.transfer()
    with a_poster(platform) as poster, a_poster(platform) as heir:
        posting = write(poster, batches.slice(0, 0, first))
        signal_backend(platform, connection(poster), "pg_terminate_backend")
        with pytest.raises(Indeterminate):
            poster.commit(posting)
        post(heir, batches.slice(0, 0, first, second))
        with a_poster(platform) as new:
            new.positions = poster.positions
            with pytest.raises(Fenced):
                new.committed(posting)


@pytest.fixture
def without_standbys(platform: Platform) -> Iterator[Stack]:
    """No standby answers until the test resumes them."""
    stack = platform.stack
    leader = stack.postgres.leader()
    standbys = [p for name, p in stack.postgres.processes.items() if name != leader]
    for standby in standbys:
        standby.pause()
    yield stack
    resume(stack)
    stack.postgres.wait_ready()


def resume(stack: Stack) -> None:
    for process in stack.postgres.processes.values():
        process.resume()


@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
def test_a_commit_that_only_the_primary_has_is_in_doubt_until_a_standby_has_it(
    platform: Platform,
    encoder: Encoder,
    batches: Batches,
    pool: ThreadPoolExecutor,
    request: pytest.FixtureRequest,
    function: str,
) -> None:
    record = encoder.transfer()
    with a_poster(platform) as poster, a_poster(platform) as new:
        posting = write(poster, batches.slice(0, 0, record))
        stack: Stack = request.getfixturevalue("without_standbys")
        committing = pool.submit(poster.commit, posting)
        wait_until_blocked(platform, connection(poster), "SyncRep")
        signal_backend(platform, connection(poster), function)
        with pytest.raises(Indeterminate):
            committing.result(20)
        new.positions = poster.positions
        asking = pool.submit(new.committed, posting)
        wait_until_blocked(platform, connection(new), "SyncRep")
        resume(stack)
        assert asking.result(60) is True
    assert rows(platform) == {id_of(record): (0, 0, "POSTED")}
