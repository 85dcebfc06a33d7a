"""The rules of accounts against an oracle that keeps a card for each account.

The oracle is written from docs/how-to/freeze-close-or-limit.md and avro/README.md, and
shares nothing with the rules but the names of the verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.bank.account_rules import Terms, decide_changes, take_changes
from consumers.bank.change import Asked, Change
from consumers.bank.verdicts import Verdict

MOST = 1_000_000_000_000_000_000  # from avro/account-change.avsc


@dataclass
class Card:
    currency: str
    status: str
    limit: int
    money: int


def oracle(
    change: Change, cards: dict[int, Card], asked_before: dict[bytes, Asked]
) -> str:
    """Decide one change, and write it onto its card."""
    asked = change.asked
    if change.change_id in asked_before:
        if asked_before[change.change_id] == asked:
            return "EXISTS"
        return "EXISTS_WITH_DIFFERENT_PAYLOAD"
    asked_before[change.change_id] = asked
    limit = 0 if asked.credit_limit is None else asked.credit_limit
    if limit < 0 or limit > MOST:
        return "DECLINED_AMOUNT_OUT_OF_RANGE"
    if asked.account in cards:
        return on_card(asked, cards[asked.account])
    if asked.currency is None:
        return "DECLINED_UNKNOWN_ACCOUNT"
    status = "open" if asked.status is None else asked.status
    cards[asked.account] = Card(asked.currency, status, limit, 0)
    return "CHANGED"


def on_card(asked: Asked, card: Card) -> str:
    """Decide what is asked of an account that exists."""
    if asked.must_be_new:
        return "DECLINED_ACCOUNT_EXISTS"
    if card.status == "closed":
        return "DECLINED_ACCOUNT_CLOSED"
    if asked.currency is not None and asked.currency != card.currency:
        return "DECLINED_CURRENCY_MISMATCH"
    limit = card.limit if asked.credit_limit is None else asked.credit_limit
    if asked.status == "closed":
        if card.money != 0:
            return "DECLINED_ACCOUNT_NOT_EMPTY"
    elif limit < card.limit and card.money + limit < 0:
        return "DECLINED_INSUFFICIENT_FUNDS"
    card.status = card.status if asked.status is None else asked.status
    card.limit = limit
    return "CHANGED"


changes_strategy = st.lists(
    st.builds(
        Change,
        change_id=st.integers(0, 12).map(lambda n: n.to_bytes(16, "big")),
        asked=st.builds(
            Asked,
            account=st.integers(1, 4),
            must_be_new=st.booleans(),
            currency=st.sampled_from([None, "EUR", "EUR", "USD"]),
            credit_limit=st.sampled_from([None, 0, 5, 50, MOST, MOST + 1, -1]),
            status=st.sampled_from([None, None, "open", "frozen", "closed"]),
            reason=st.just(""),
            changed_by=st.sampled_from(["ada", "ada", "bob"]),
        ),
        created_at_ms=st.just(0),
    ),
    max_size=25,
)
cards_strategy = st.dictionaries(
    st.integers(1, 3),
    st.builds(
        Card,
        currency=st.sampled_from(["EUR", "EUR", "USD"]),
        status=st.sampled_from(["open", "open", "frozen", "closed"]),
        limit=st.sampled_from([0, 50, 100]),
        money=st.sampled_from([0, 0, -50, -5, 7]),
    ),
)


def terms_of(cards: dict[int, Card]) -> dict[int, Terms]:
    return {n: Terms(c.currency, c.status, c.limit, c.money) for n, c in cards.items()}


@settings(max_examples=500)
@given(changes_strategy, cards_strategy, st.integers(0, 5))
def test_deciding_changes_is_deciding_one_by_one(
    changes: list[Change], cards: dict[int, Card], earlier: int
) -> None:
    before = terms_of(cards)
    asked = {change.change_id: change.asked for change in reversed(changes[:earlier])}
    outcomes = decide_changes(changes, before, asked)
    expected, after = [], []
    for change in changes:
        expected.append(oracle(change, cards, asked))
        after.append(terms_of(cards).get(change.asked.account))
    assert [Verdict(outcome.verdict).name for outcome in outcomes] == expected
    assert [outcome.terms for outcome in outcomes] == after


@settings(max_examples=200)
@given(changes_strategy, cards_strategy)
def test_what_was_told_leaves_the_accounts_as_deciding_did(
    changes: list[Change], cards: dict[int, Card]
) -> None:
    """Also in a ledger that would decide otherwise now: nobody asks for money again."""
    before = terms_of(cards)
    outcomes = decide_changes(changes, before, {})
    told = [outcome.verdict for outcome in outcomes]
    assert take_changes(changes, before, told) == outcomes
