"""How the one record is found that ends every worker that reads it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumers.bank.care import ATTEMPTS_MAX, SHRINK, Care, Trial

PARTITION, BATCH = 3, 10_000


class Noted:
    """Table `trials`, for one partition, as trials.py writes it."""

    def __init__(self) -> None:
        self.position = self.opens = self.attempts = self.until = 0
        self.records: int | None = None
        self._at = 0

    def open(self) -> Trial:
        same = self._at == self.position
        self.opens = self.opens + 1 if same else 1
        self.attempts = self.attempts if same else 0
        self.records = self.records if same else None
        self._at = self.position
        return Trial(self.position, self.opens, self.records, self.attempts, self.until)

    def note(self, records: int, until: int) -> None:
        same = self._at == self.position and self.records == records
        self.attempts = self.attempts + 1 if same else 1
        self.records, self.until, self._at = records, until, self.position

    def acquit(self) -> None:
        self.opens = self.attempts = self.until = 0
        self.records = None


def live(noted: Noted, end: int, poison: set[int]) -> tuple[int, list[int]]:
    """One worker's life: where it died or came to the end, and what it set aside."""
    care, aside = Care(BATCH), []
    care.opened({PARTITION: noted.open()})
    while noted.position < end:
        count = min(care.records_max, end - noted.position)
        if care.condemned(PARTITION):
            aside.append(noted.position)
            count = 1
        else:
            for _, suspect in care.suspects({PARTITION: count}).items():
                assert suspect.position == noted.position
                noted.note(suspect.records, suspect.until)
            if poison & set(range(noted.position, noted.position + count)):
                return noted.position, aside
        noted.position += count
        care.ended({PARTITION: noted.position})
        if aside and aside[-1] == noted.position - 1:
            care.acquitted(PARTITION)
            noted.acquit()
    return noted.position, aside


@given(
    end=st.integers(1, 50_000),
    poison=st.sets(st.integers(0, 49_999), max_size=3),
)
def test_just_what_ends_workers_is_set_aside_after_a_few_lives(
    end: int, poison: set[int]
) -> None:
    noted, aside, lives = Noted(), list[int](), 0
    poison = {offset for offset in poison if offset < end}
    while noted.position < end:
        lives += 1
        assert lives <= 1 + 12 * len(poison)
        _, found = live(noted, end, poison - set(aside))
        aside += found
    assert set(aside) == poison


def test_a_session_that_ends_in_order_takes_its_note_back() -> None:
    care = Care(BATCH)
    care.opened({PARTITION: Trial(7, 2, 1, ATTEMPTS_MAX - 1, 9)})
    care.suspects({PARTITION: 1})
    (owed,) = care.leave([PARTITION]).values()
    assert owed == (7, True)
    care.settled()
    care.opened({PARTITION: Trial(7, 1, 1, ATTEMPTS_MAX - 1, 9)})
    assert not care.owed and not care.condemned(PARTITION)


def test_a_small_batch_that_ended_does_not_keep_the_next_ones_small() -> None:
    """Few records were there when it was noted; a rebalance, and thousands wait."""
    care = Care(BATCH)
    care.opened({PARTITION: Trial(7, 2, None, 0, 0)})
    care.suspects({PARTITION: 4})
    care.ended({PARTITION: 11})
    care.leave([PARTITION])
    care.opened({PARTITION: Trial(11, 1, None, 0, 20_007)})
    assert care.records_max == BATCH // SHRINK


def test_a_search_goes_on_where_a_session_left_it_in_order() -> None:
    """An outage in the middle of it is no reason to begin with large batches again."""
    care = Care(BATCH)
    care.opened({PARTITION: Trial(7, 1, 39, 0, 20_007)})
    assert care.records_max == 39


def test_behind_what_a_worker_fell_over_batches_grow_again() -> None:
    care = Care(BATCH)
    care.opened({PARTITION: Trial(7, 2, 64, 1, 20_007)})
    position, sizes = 7, []
    for _ in range(SHRINK + 9):
        sizes.append(care.records_max)
        care.suspects({PARTITION: sizes[-1]})
        position += sizes[-1]
        care.ended({PARTITION: position})
    small = 64 // SHRINK
    grown = [small << times for times in range(1, 8)]
    assert sizes == [small] * SHRINK + grown + [BATCH // SHRINK] * 2


def test_a_session_that_fell_over_its_records_takes_nothing_back() -> None:
    care = Care(BATCH)
    care.opened({PARTITION: Trial(7, 2, None, 0, 0)})
    care.suspects({PARTITION: 625})
    care.blame()
    assert not care.leave([PARTITION])


def test_a_partition_that_never_fell_is_read_at_full_speed() -> None:
    care = Care(BATCH)
    care.opened({PARTITION: Trial(7, 1, None, 0, 0)})
    assert care.records_max == BATCH
    assert not care.needed
    assert care.suspects({PARTITION: BATCH}) == {}


def test_a_partition_with_nothing_left_to_read_slows_nobody_down() -> None:
    """An idle one is opened at the same position again and again."""
    care = Care(BATCH)
    care.opened({PARTITION: Trial(7, 5, None, 0, 0)})
    assert care.records_max < BATCH
    care.at_end([PARTITION])
    assert care.records_max == BATCH
