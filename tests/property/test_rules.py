"""The rules of money against an oracle that decides one transfer at a time.

The oracle is written from docs/glossary.md and the design, in the plainest way, and
shares nothing with the rules but the names of the verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.bank.rules import Account, Transfers, decide, undo
from consumers.bank.verdicts import Verdict


@dataclass
class Book:
    """An account as an accountant sees it."""

    currency: bytes
    status: str
    limit: int
    entries: list[int] = field(default_factory=list)
    spent: int = 0  # debits before the first entry; as much came in

    @property
    def balance(self) -> int:
        return sum(self.entries)

    @property
    def turnover(self) -> int:
        return self.spent - sum(entry for entry in self.entries if entry < 0)


@dataclass
class Line:
    transfer_id: bytes
    payer: int
    payee: int
    amount: int
    currency: bytes
    memo: str


def oracle(line: Line, books: dict[int, Book], ledger: dict[bytes, Line]) -> str:
    """Decide one transfer, changing books and ledger."""

    if line.transfer_id in ledger:
        same = ledger[line.transfer_id] == line
        return "EXISTS" if same else "EXISTS_WITH_DIFFERENT_PAYLOAD"
    ledger[line.transfer_id] = line
    if line.payer == line.payee:
        return "DECLINED_SAME_ACCOUNT"
    if line.amount < 1 or line.amount > 1_000_000_000_000:
        return "DECLINED_AMOUNT_OUT_OF_RANGE"
    if line.payer not in books or line.payee not in books:
        return "DECLINED_UNKNOWN_ACCOUNT"
    payer, payee = books[line.payer], books[line.payee]
    for status in ("closed", "frozen"):
        if payer.status == status or payee.status == status:
            return f"DECLINED_ACCOUNT_{status.upper()}"
    if {payer.currency, payee.currency} != {line.currency}:
        return "DECLINED_CURRENCY_MISMATCH"
    if payer.balance - line.amount < -payer.limit:
        return "DECLINED_INSUFFICIENT_FUNDS"
    if payer.turnover > SUM_MAX or payee.balance + payee.limit > SUM_MAX:
        return "DECLINED_AMOUNT_OUT_OF_RANGE"
    payer.entries.append(-line.amount)
    payee.entries.append(line.amount)
    return "POSTED"


SUM_MAX = 4_000_000_000_000_000_000  # from docs/invariants.md

amounts = st.integers(-1, 60) | st.sampled_from([10**12, 10**12 + 1, 2**63 - 1])
lines_strategy = st.lists(
    st.builds(
        Line,
        transfer_id=st.integers(0, 40).map(lambda n: n.to_bytes(16, "big")),
        payer=st.integers(1, 7),
        payee=st.integers(1, 7),
        amount=amounts,
        currency=st.sampled_from([b"EUR", b"EUR", b"EUR", b"USD"]),
        memo=st.sampled_from(["", "", "x"]),
    ),
    max_size=60,
)
books_strategy = st.dictionaries(
    st.integers(1, 6),
    st.builds(
        Book,
        currency=st.sampled_from([b"EUR", b"EUR", b"USD"]),
        status=st.sampled_from(["open", "open", "open", "frozen", "closed"]),
        limit=st.sampled_from([0, 10, 100, 10**13]),
        entries=st.lists(st.integers(0, 50) | st.just(SUM_MAX), max_size=2),
        spent=st.sampled_from([0, 0, SUM_MAX - 10, SUM_MAX, SUM_MAX + 1]),
    ),
)


def accounts_of(books: dict[int, Book]) -> dict[int, Account]:
    return {
        number: Account(
            book.currency, book.status, book.balance + book.limit, book.spent
        )
        for number, book in books.items()
    }


def columns(partition: int, lines: list[Line]) -> Transfers:
    return Transfers(
        partition,
        [line.transfer_id for line in lines],
        [line.payer for line in lines],
        [line.payee for line in lines],
        [line.amount for line in lines],
        [line.currency for line in lines],
        [line.memo for line in lines],
    )


def state(accounts: dict[int, Account]) -> dict[int, tuple[int, int]]:
    return {n: (account.available, account.debits) for n, account in accounts.items()}


@settings(max_examples=300)
@given(lines_strategy, books_strategy, st.integers(0, 60), st.integers(0, 30))
def test_deciding_a_batch_is_deciding_one_by_one(
    lines: list[Line], books: dict[int, Book], cut: int, earlier: int
) -> None:
    accounts = accounts_of(books)
    ledger: dict[bytes, Line] = {}
    for line in lines[:earlier]:  # these are in the ledger already, without effect
        ledger.setdefault(line.transfer_id, line)
    known = {
        i: (e.payer, e.payee, e.amount, e.currency, e.memo) for i, e in ledger.items()
    }
    batch = [columns(3, lines[:cut]), columns(5, lines[cut:])]
    decision = decide(batch, accounts, known)
    expected = [oracle(line, books, ledger) for line in lines]
    found = [Verdict(v).name for mine in decision.verdicts for v in mine]
    assert found == expected
    for number, book in books.items():
        assert accounts[number].available == book.balance + book.limit
    spent = {n: -sum(e for e in b.entries if e < 0) for n, b in books.items()}
    assert decision.debits == {n: total for n, total in spent.items() if total}


@given(lines_strategy, books_strategy)
def test_undo_takes_back_exactly_what_was_decided(
    lines: list[Line], books: dict[int, Book]
) -> None:
    accounts = accounts_of(books)
    before = state(accounts)
    undo(decide([columns(0, lines)], accounts, {}), accounts)
    assert state(accounts) == before


@given(lines_strategy, books_strategy)
def test_debits_and_credits_of_a_batch_are_the_same_money(
    lines: list[Line], books: dict[int, Book]
) -> None:
    decision = decide([columns(0, lines)], accounts_of(books), {})
    credits = sum(sum(mine.values()) for mine in decision.credits.values())
    assert sum(decision.debits.values()) == credits


def test_who_is_declined_for_want_of_funds_is_named() -> None:
    accounts = {1: Account(b"EUR", "open", 5, 0), 2: Account(b"EUR", "open", 0, 0)}
    rich, poor = (Line(bytes(16), 1, 2, amount, b"EUR", "") for amount in (5, 9))
    assert decide([columns(0, [rich])], dict(accounts), {}).short == set()
    assert decide([columns(0, [poor])], accounts, {}).short == {1}
