"""The audit judges verdicts as a book-keeper does who had seen the same (I11).

The book-keeper here knows nothing of columns, changes by number, or prefix sums: it
adds up every transfer that a decision saw, one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consumers.bank.audit import sums
from consumers.bank.audit.decisions import Decision, Spans
from consumers.bank.audit.judge import Judge, Kept
from consumers.bank.audit.judged import Numbers, Rows
from consumers.bank.audit.report import Evidence
from consumers.bank.audit.sums import Events
from consumers.bank.audit.terms import STATUSES, Terms

PARTITIONS = 3
ACCOUNTS = range(1, 8)  # 7 is never opened
POSTED, NO_FUNDS = 1, 5


@dataclass(frozen=True)
class Line:
    """A transfer, and what was decided of it."""

    offset: int
    payer: int
    payee: int
    amount: int
    currency: str
    verdict: int
    debits_after: int


@dataclass(frozen=True)
class Change:
    """What an account might do from an epoch on."""

    account: int
    epoch: int
    currency: str
    status: str
    limit: int


@dataclass
class World:
    """A log that was decided, and all that was kept of it."""

    lines: dict[int, list[Line]] = field(
        default_factory=lambda: {p: [] for p in range(PARTITIONS)}
    )
    decisions: list[tuple[int, Decision]] = field(default_factory=list)  # with epochs
    changes: list[Change] = field(default_factory=list)

    def available(self, account: int, view: dict[int, int], limit: int) -> int:
        """By every transfer that the view has, one after the other."""
        sum_ = limit
        for partition, lines in self.lines.items():
            for line in lines:
                if line.verdict == POSTED and line.offset < view[partition]:
                    sum_ += line.amount * (line.payee == account)
                    sum_ -= line.amount * (line.payer == account)
        return sum_

    def terms(self, account: int, epoch: int) -> Change | None:
        held = [c for c in self.changes if c.account == account and c.epoch <= epoch]
        last = max(held, key=lambda each: each.epoch, default=None)
        return None if last is None or last.status == "removed" else last

    def right(
        self, line: tuple[int, int, int, str], epoch: int, view: dict[int, int]
    ) -> int:
        """The verdict of the book-keeper."""
        payer, payee, amount, currency = line
        if payer == payee:
            return 7
        if not 0 < amount <= 10**12:
            return 8
        mine, other = self.terms(payer, epoch), self.terms(payee, epoch)
        if mine is None or other is None:
            return 2
        if "closed" in (mine.status, other.status):
            return 4
        if "frozen" in (mine.status, other.status):
            return 3
        if not mine.currency == currency == other.currency:
            return 6
        has = self.available(payer, view, mine.limit)
        return POSTED if amount <= has else NO_FUNDS

    def judged(self) -> Evidence:
        """What the audit says of it."""
        evidence = Evidence()
        judge = self.judge(evidence)
        for partition, lines in self.lines.items():
            judge.hear(partition, rows_of(lines))
        with patch.object(sums, "ROWS_AT_ONCE", 3):  # more than once
            judge.sum_up()
        assert judge.unjudged == 0
        assert evidence.checked["I11"] == sum(map(len, self.lines.values()))
        return evidence

    def judge(self, evidence: Evidence) -> Judge:
        kept = Kept(self._terms(), self._spans, self._events, self._known)
        return Judge(kept, "log", evidence)

    def _terms(self) -> Terms:
        changes = sorted(self.changes, key=lambda each: (each.account, each.epoch))
        statuses = [STATUSES.index(each.status) for each in changes]
        return Terms(
            integers(each.account for each in changes),
            integers(each.epoch for each in changes),
            integers(statuses),
            integers(each.limit for each in changes),
            np.array([each.currency for each in changes], "S3"),
        )

    def _spans(self, partition: int) -> Spans:
        mine = [
            (first, due, number, epoch)
            for number, (epoch, each) in enumerate(self.decisions)
            for one, first, due in zip(
                each.partitions, each.first_offsets, each.next_offsets, strict=True
            )
            if one == partition
        ]
        return Spans(*(integers(row[at] for row in mine) for at in range(4)))

    def _known(self, numbers: Sequence[int]) -> dict[int, Decision]:
        return {number: self.decisions[number][1] for number in numbers}

    def _events(self, accounts: Numbers) -> Iterator[tuple[int, Events]]:
        for account in accounts.tolist():
            moved = [
                (partition, line.offset, line.amount * (1 if credit else -1))
                for partition, lines in self.lines.items()
                for line in lines
                for credit in (True, False)
                if line.verdict == POSTED
                and account == (line.payee if credit else line.payer)
            ]
            if moved:
                yield account, Events(*map(integers, zip(*moved, strict=True)))


def integers(values: object) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([*values], np.int64)  # type: ignore[misc]


def rows_of(lines: Sequence[Line]) -> Rows:
    return Rows(
        integers(line.offset for line in lines),
        integers(line.payer for line in lines),
        integers(line.payee for line in lines),
        integers(line.amount for line in lines),
        np.array([line.currency for line in lines], "S3"),
        integers(line.verdict for line in lines),
        integers(line.debits_after for line in lines),
    )


@st.composite
def worlds(draw: st.DrawFn, wrong: bool) -> tuple[World, str | None]:
    """One that was decided well; or with one wrong verdict in it, which is named."""
    world, epoch, spoilt = World(), 1, None
    for account in ACCOUNTS[:-1]:
        limit = draw(st.sampled_from([0, 0, 5]))
        currency = draw(st.sampled_from(["EUR", "EUR", "EUR", "USD"]))
        world.changes.append(Change(account, epoch, currency, "open", limit))
    ends = dict.fromkeys(range(PARTITIONS), 0)
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.booleans()):
            epoch += 1
            account = draw(st.sampled_from(ACCOUNTS[:-1]))
            status = draw(st.sampled_from(STATUSES))
            limit = draw(st.integers(0, 9))
            world.changes.append(Change(account, epoch, "EUR", status, limit))
        mine = draw(st.permutations(range(PARTITIONS)))[: draw(st.integers(1, 3))]
        first = [ends[p] for p in mine]
        three = draw(looks(ends, exact=wrong))
        before, seen, after = (
            [of(each) for each in zip(*three, strict=True)] for of in (min, middle, max)
        )
        view = dict(enumerate(seen)) | {p: ends[p] for p in mine}
        for partition in mine:
            for _ in range(draw(st.integers(0, 4))):
                payer = draw(
                    st.sampled_from([a for a in ACCOUNTS if a % 3 == partition])
                )
                payee = draw(st.sampled_from(ACCOUNTS))
                amount = draw(st.sampled_from([1, 2, 3, 5, 0, 10**12 + 1]))
                asked = (payer, payee, amount, "EUR")
                view[partition] = ends[partition]
                verdict = world.right(asked, epoch, view)
                if wrong and spoilt is None and draw(st.booleans()):
                    verdict = draw(
                        st.sampled_from([v for v in range(1, 8) if v != verdict])
                    )
                    spoilt = f"log[{partition}]@{ends[partition]} is"
                paid = sum(
                    line.amount
                    for line in world.lines[partition]
                    if line.payer == payer and line.verdict == POSTED
                )
                paid += amount * (verdict == POSTED)
                line = Line(ends[partition], *asked, verdict, paid)
                world.lines[partition].append(line)
                ends[partition] += draw(st.integers(1, 2))  # a marker lies between
                view[partition] = ends[partition]
        due = [ends[p] for p in mine]
        decision = Decision(mine, first, due, before, after)
        world.decisions.append((epoch, decision))
    return world, spoilt


def middle(three: Sequence[int]) -> int:
    return sorted(three)[1]


def looks(ends: dict[int, int], exact: bool) -> st.SearchStrategy[list[list[int]]]:
    """Three looks at how far the partitions are: one, if it is to be exact."""
    look = st.tuples(*(st.integers(0, end) for end in ends.values())).map(list)
    if exact:
        return look.map(lambda one: [one] * 3)
    return st.lists(look, min_size=3, max_size=3)


@given(worlds(wrong=False))
def test_nothing_is_said_of_verdicts_that_were_right(
    made: tuple[World, str | None],
) -> None:
    world, _ = made
    assert world.judged().findings["I11"] == []


@given(worlds(wrong=True))
def test_one_wrong_verdict_is_named_and_no_other(
    made: tuple[World, str | None],
) -> None:
    world, spoilt = made
    found = world.judged().findings["I11"]
    assert [each[: len(spoilt)] for each in found] == [spoilt] if spoilt else not found


def test_what_nobody_wrote_down_is_not_judged() -> None:
    world, evidence = World(), Evidence()
    judge = world.judge(evidence)
    judge.hear(0, rows_of([Line(3, 1, 2, 5, "EUR", POSTED, 5)]))
    judge.sum_up()
    assert judge.unjudged == 1 and evidence.findings["I11"] == []


def test_a_sum_beyond_what_an_account_can_bear_is_a_reason() -> None:
    """By what the payer has paid, or the payee has; and one that is short of it."""
    world = World(
        changes=[
            Change(1, 1, "EUR", "open", 10**18),
            Change(2, 1, "EUR", "open", 4 * 10**18),
            Change(3, 1, "EUR", "open", 4 * 10**18 + 1),
        ],
        decisions=[(1, Decision([1], [0], [9], [0, 0, 0], [0, 0, 0]))],
    )
    much = 4 * 10**18
    world.lines[1] = [
        Line(0, 1, 3, 5, "EUR", 8, 0),  # the payee is full
        Line(1, 1, 2, 5, "EUR", 8, 0),  # it is not, by one
        Line(2, 4, 2, 5, "EUR", 2, 0),
        Line(3, 1, 2, 5, "EUR", 8, much + 1),  # the payer has paid too much
    ]
    assert [each[:12] for each in world.judged().findings["I11"]] == ["log[1]@1 is "]


def test_a_payer_who_pays_elsewhere_between_the_beginning_and_the_look() -> None:
    """As after partitions were added: the decline is right all the same."""
    world = World(
        changes=[Change(1, 1, "EUR", "open", 100), Change(2, 1, "EUR", "open", 0)],
        decisions=[
            (1, Decision([1], [0], [1], [0, 0, 0], [0, 0, 0])),
            (1, Decision([0], [0], [1], [0, 0, 0], [0, 1, 0])),
        ],
    )
    world.lines[1] = [Line(0, 1, 2, 100, "EUR", POSTED, 100)]
    world.lines[0] = [Line(0, 1, 2, 100, "EUR", NO_FUNDS, 100)]
    assert world.judged().findings["I11"] == []


def test_what_was_told_is_counted_and_not_judged() -> None:
    world = World(decisions=[(0, Decision([1], [0], [9], [0, 0], [0, 0]))])
    judge = world.judge(evidence := Evidence())
    judge.hear(1, rows_of([Line(3, 1, 2, 5, "EUR", POSTED, 5)]))
    assert (judge.told, judge.unjudged) == (1, 0)
    assert evidence.checked["I11"] == 0
