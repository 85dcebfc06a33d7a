"""The index's files: by the hour, bounded, and a cache that is made again."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from once.errors import Defect, Refused
from producers.store.facts import Facts, Place, Range
from producers.store.index import Index
from producers.store.receipts import Receipt, by_client
from producers.store.states import Sent
from tests.unit.handles import Handles, break_off, let_grow
from tests.unit.indexes import (
    DECIDED,
    NUMBER,
    REPEATS,
    VERDICTS,
    A,
    B,
    Clock,
    Open,
    decided,
    receipt,
    said,
    sent,
)

# -- ranges and files ------------------------------------------------------------------

HERE, THERE, RESULTS = Place("r1", 0), Place("r1", 1), Place("v1", 0)


def test_ranges_are_kept_by_topic_and_partition_and_grow_together(index: Index) -> None:
    assert index.ranges() == []
    index.write(Facts(), [Range(HERE, 5, 7), Range(THERE, 0, 8), Range(RESULTS, 9, 9)])
    index.write(Facts(), [Range(HERE, 7, 2**62), Range(THERE, 20, 21)])
    assert set(index.ranges()) == {
        Range(HERE, 5, 2**62),
        Range(THERE, 0, 8),
        Range(THERE, 20, 21),
        Range(RESULTS, 9, 9),
    }


def test_ranges_are_written_with_the_rows_or_not_at_all(
    index: Index, handles: Handles
) -> None:
    """SQLite is interrupted at ever later instructions until it gets through."""
    index.write(Facts(), [Range(HERE, 0, 7)])
    (part,) = handles.parts()
    some, broken_off = [receipt("ada"), receipt("ada"), receipt("bob")], 0
    ids = [each.transfer_id for each in some]
    results = {A: [decided(transfer_id, "POSTED") for transfer_id in ids]}
    facts = Facts({A: by_client(some)}, results)
    while True:
        break_off(part.writer, 3 * broken_off)
        try:
            index.write(facts, [Range(HERE, 7, 8)])
            break
        except sqlite3.OperationalError:
            assert index.ranges() == [Range(HERE, 0, 7)]
            assert index.find(ids) == []
            broken_off += 1
    assert broken_off > 50
    assert index.ranges() == [Range(HERE, 0, 8)]
    assert {each.verdict for each in index.find(ids)} == {NUMBER["POSTED"]}


def test_reopening_keeps_all(open_index: Open) -> None:
    before, mine, theirs, early = open_index(), receipt(), receipt("bob"), receipt()
    before.write(
        Facts(
            {A: by_client([mine]), B: by_client([theirs])},
            {
                A: [decided(mine.transfer_id, "POSTED")],
                B: [decided(early.transfer_id, "EXISTS")],
            },
        ),
        [Range(HERE, 3, 11)],
    )
    before.close()
    after = open_index()
    sent(after, B, early)
    found = after.find([each.transfer_id for each in (mine, theirs, early)])
    assert sorted(found, key=lambda each: each.receipt) == sorted(
        [
            Sent(mine, NUMBER["POSTED"], 0),
            Sent(theirs, None),
            Sent(early, NUMBER["EXISTS"], 0),
        ],
        key=lambda each: each.receipt,
    )
    assert after.ranges() == [Range(HERE, 3, 11)]


def test_a_second_store_on_one_index_is_refused_by_name(open_index: Open) -> None:
    open_index()
    with pytest.raises(Refused, match="another Store has the index .*STORE_INDEX"):
        open_index()


def test_an_index_that_cannot_be_made_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Defect, match="STORE_INDEX"):
        Index(tmp_path / "file" / "index", VERDICTS)


# -- hours -----------------------------------------------------------------------------

PART_SECONDS = 3 * 3600


@pytest.mark.parametrize("receipt_first", [True, False])
def test_a_receipt_and_a_verdict_of_different_hours_meet(
    index: Index, clock: Clock, receipt_first: bool
) -> None:
    mine = receipt()
    steps: list[Callable[[], None]] = [
        lambda: sent(index, A, mine),
        lambda: said(index, A, mine.transfer_id, "EXISTS", "POSTED"),
    ]
    for step in steps if receipt_first else reversed(steps):
        step()
        clock.now += PART_SECONDS
    assert len(index.parts) == 2
    sent(index, A, mine._replace(client="eve", digest=b"e" * 16))
    assert index.find([mine.transfer_id]) == [
        Sent(mine, NUMBER["EXISTS"], NUMBER["POSTED"])
    ]


@pytest.mark.parametrize("repeat", REPEATS)
@pytest.mark.parametrize("decided", DECIDED)
def test_a_decided_verdict_beats_one_on_a_repeat_over_hours_in_either_order(
    index: Index, clock: Clock, decided: str, repeat: str
) -> None:
    for order in permutations((decided, repeat)):
        mine = receipt()
        sent(index, A, mine)
        for verdict in order:
            said(index, A, mine.transfer_id, verdict)
            clock.now += PART_SECONDS
        (found,) = index.find([mine.transfer_id])
        assert found.verdict == NUMBER[decided]


def test_what_is_filled_in_later_is_older(index: Index, clock: Clock) -> None:
    mine = receipt()
    sent(index, A, mine._replace(client="eve"))
    index.write(Facts({A: by_client([mine])}), at_seconds=clock.now - PART_SECONDS)
    (found,) = index.find([mine.transfer_id])
    assert found.receipt.client == mine.client, "the first one keeps it"


def test_hours_that_are_too_old_go_as_a_file_and_nothing_else(
    index: Index, clock: Clock
) -> None:
    old, young = receipt(), receipt()
    index.write(Facts({A: by_client([old])}), [Range(HERE, 0, 7)])
    clock.now += PART_SECONDS
    index.write(Facts({A: by_client([young])}), [Range(HERE, 7, 9)])
    said(index, A, old.transfer_id, "POSTED")
    clock.now += 24 * 3600 - 2 * PART_SECONDS
    index.forget()
    assert len(index.find([old.transfer_id, young.transfer_id])) == 2
    clock.now += 2 * PART_SECONDS - clock.now % PART_SECONDS
    index.forget()
    assert index.find([old.transfer_id, young.transfer_id]) == [Sent(young, None)]
    assert index.ranges() == [Range(HERE, 7, 9)], "what is gone is not claimed"
    assert not index.incomplete.is_set(), "and is not missed"


def test_too_many_bytes_cost_the_oldest_files_with_a_warning(
    tmp_path: Path, clock: Clock
) -> None:
    index = Index(tmp_path / "index", VERDICTS, bytes_max=8 * 200_000)
    newest: list[Receipt] = []
    with capture_logs() as logged:
        while len(logged) < 3:
            newest = [receipt() for _ in range(500)]
            sent(index, A, *newest)
            index.forget()
            assert index.size_bytes() <= 8 * 200_000
    assert {each["log_level"] for each in logged} == {"warning"}
    assert all("STORE_INDEX_BYTES_MAX" in each["why"] for each in logged)
    assert len(index.find([each.transfer_id for each in newest])) == 500
    index.close()


def test_there_is_no_room_for_older_hours_when_the_next_part_would_have_to_go(
    tmp_path: Path, clock: Clock
) -> None:
    index = Index(tmp_path / "index", VERDICTS, bytes_max=8 * 200_000, kept=False)
    sizes: list[int] = []
    while index.has_room():
        sizes.append(index.size_bytes())
        sent(index, A, *(receipt() for _ in range(500)))
    assert sizes[-1] < 7 * 200_000 <= index.size_bytes() <= 8 * 200_000
    before = index.parts
    index.forget()
    assert index.parts == before, "nothing had to go yet"
    index.close()


def test_a_full_disk_costs_the_oldest_file(
    index: Index, handles: Handles, clock: Clock
) -> None:
    old, young = receipt(), [receipt() for _ in range(400)]
    sent(index, A, old)
    clock.now += PART_SECONDS
    sent(index, A, receipt())
    writer = handles.parts()[-1].writer
    let_grow(writer, 1)
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        sent(index, A, *young)
    assert index.find([old.transfer_id]) == []
    let_grow(writer, 100_000)
    sent(index, A, *young)
    assert len(index.find([each.transfer_id for each in young])) == 400


# -- damage: it is a cache -------------------------------------------------------------


def zeros(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(bytes(file.stat().st_size))


def random_pages(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(random.Random(7).randbytes(4 * 4096))


def another_version(file: Path) -> None:
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("PRAGMA user_version = 1")


def no_tables(file: Path) -> None:
    file.write_bytes(b"")


def cut_short(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(2 * 4096)


Damage = Callable[[Path], None]
damages = pytest.mark.parametrize(
    "damage", [zeros, random_pages, another_version, no_tables, cut_short]
)


def filled(index: Index, clock: Clock) -> list[Receipt]:
    """Two hours, 300 sendings each; all of them."""
    all_: list[Receipt] = []
    for hour in range(2):
        some = [receipt() for _ in range(300)]
        offsets = Range(HERE, 300 * hour, 300 * hour + 300)
        index.write(Facts({A: by_client(some)}), [offsets])
        all_ += some
        clock.now += PART_SECONDS
    return all_


@damages
@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_file_found_at_start_is_read_again_and_the_other_is_kept(
    open_index: Open, clock: Clock, damage: Damage, which: int
) -> None:
    before = open_index()
    some = filled(before, clock)
    path = before.parts[which].path
    before.close()
    damage(path)
    with capture_logs() as logged:
        after = open_index()
        found = after.find([each.transfer_id for each in some])
        (left,) = after.ranges()
    assert len(found) == 300, "no error, and the other file's"
    assert left == Range(HERE, 300 * (1 - which), 300 * (1 - which) + 300)
    assert len(logged) == 1 and logged[0]["log_level"] == "warning"
    assert path.name in str(logged[0])
    sent(after, A, some[0])
    assert len(after.find([some[0].transfer_id])) == 1


@pytest.mark.parametrize("damage", [zeros, random_pages])
@pytest.mark.parametrize("by", ["a reader", "the follower"])
@pytest.mark.parametrize("which", [0, 1])
def test_damage_found_while_it_runs_costs_the_file_and_no_error(
    open_index: Open,
    handles: Handles,
    clock: Clock,
    damage: Damage,
    by: str,
    which: int,
) -> None:
    index = open_index()
    some = filled(index, clock)
    part, connections = index.parts[which], handles.parts()[which]
    connections.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for connection in connections:
        connection.execute("PRAGMA cache_size = 0")
    damage(part.path)
    index.incomplete.clear()
    ids = [each.transfer_id for each in some]
    with capture_logs() as logged:
        if by == "a reader":
            assert len(index.find(ids)) == 300
        else:
            at_s = float(part.began_seconds)
            again = Facts({A: by_client(some[300 * which : 300 * which + 300])})
            index.write(again, [Range(HERE, 300 * which, 300 * which + 300)], at_s)
            assert len(index.find(ids)) == 600, "it was read again"
    assert index.incomplete.is_set(), "and that it lacks something is known"
    assert [each["log_level"] for each in logged] == ["warning"]
    assert not part.path.exists()


def test_a_folder_that_is_taken_away_while_it_runs_is_made_again(
    open_index: Open, clock: Clock, tmp_path: Path
) -> None:
    index = open_index()
    filled(index, clock)
    shutil.rmtree(tmp_path / "store" / "index")
    clock.now += PART_SECONDS
    mine = receipt()
    sent(index, A, mine)
    assert Sent(mine, None) in index.find([mine.transfer_id])


def test_a_journal_of_sqlite_that_is_gone_costs_nothing_but_what_was_in_it(
    open_index: Open, clock: Clock, tmp_path: Path
) -> None:
    before = open_index()
    filled(before, clock)
    before.close()
    for end in ("wal", "shm"):
        for file in (tmp_path / "store" / "index").glob(f"*-{end}"):
            file.unlink()
    after = open_index()
    assert after.ranges() == [Range(HERE, 0, 300), Range(HERE, 300, 600)]


@pytest.mark.parametrize("content", [bytes(8192), b"SQLite format 3\x00", b""])
def test_a_file_where_the_folder_should_be_is_removed_with_a_warning(
    open_index: Open, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "index").write_bytes(content)
    (tmp_path / "store" / "index-wal").write_bytes(content)
    with capture_logs() as logged:
        index = open_index()
    assert [each["log_level"] for each in logged] == ["warning"]
    assert not (tmp_path / "store" / "index-wal").exists()
    sent(index, A, receipt())


def test_other_files_in_the_folder_are_left_alone(
    open_index: Open, tmp_path: Path
) -> None:
    other = tmp_path / "store" / "index" / "part-of-something.db"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    open_index()
    assert other.read_text() == "mine"


def test_a_machine_that_went_down_with_the_index_open_costs_all_of_it(
    open_index: Open, clock: Clock, tmp_path: Path
) -> None:
    some = filled(open_index(), clock)
    left = tmp_path / "left"
    # What a killed process leaves; the machine stayed up.
    shutil.copytree(tmp_path / "store" / "index", left)
    with closing(Index(left, VERDICTS)) as killed:
        assert len(killed.find([each.transfer_id for each in some])) == 600
    shutil.rmtree(left)
    shutil.copytree(tmp_path / "store" / "index", left)
    (left / "open-since-boot").write_text("another")
    with capture_logs() as logged, closing(Index(left, VERDICTS)) as after:
        assert after.ranges() == []
    assert len(logged) == 1
