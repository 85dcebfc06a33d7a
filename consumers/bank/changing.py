"""Changes of accounts, decided and written: what posting.py does with a batch of them.

hold    every batch in flight has ended, and none begins before COMMIT
load    the accounts that are named, and the ids that are in the history already
decide  account_rules.py, pure
write   the history; its trigger changes the accounts
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from consumers.bank.account_history import AccountHistory, Known
from consumers.bank.account_rules import Outcome, decide_changes, take_changes
from consumers.bank.batch import Slice
from consumers.bank.ledger import Held, Ledger
from consumers.bank.told import Unopened
from consumers.bank.verdicts import REPEATS, Verdict


class Changed(NamedTuple):
    """Verdicts by slice and change; how the accounts stood when they were decided.

    `firsts` has, by slice and row of a repeat, the verdict on the first one of its id.
    """

    verdicts: list[list[int]]
    firsts: list[dict[int, int]]
    held: Held


def write_changes(
    ledger: Ledger,
    slices: Sequence[Slice],
    told: Sequence[Sequence[int]] | None = None,
) -> Changed:
    """Decide and write the changes of all slices, in that order.

    `told` are verdicts to take instead of deciding. Raises psycopg.Error, and Unopened
    when an account is missing that was changed, as was told.
    """
    history = AccountHistory(ledger)
    held = history.hold_alone()
    changes = [change for piece in slices for change in piece.changes]
    known = history.known([change.change_id for change in changes])
    accounts = history.terms(sorted({change.asked.account for change in changes}))
    if told is None:
        asked = {change_id: row.asked for change_id, row in known.items()}
        outcomes = decide_changes(changes, accounts, asked)
    else:
        flat = [verdict for mine in told for verdict in mine]
        try:
            outcomes = take_changes(changes, accounts, flat)
        except ValueError as error:
            raise Unopened(
                f"{error}, and the results say that it took effect: it was opened in "
                "another partition, or by hand; see docs/runbooks/ledger-behind.md",
                slices[0].partition,
            ) from None
    by_slice = _cut(slices, outcomes)
    history.insert(slices, by_slice, held.epoch + 1)
    return Changed(
        [[outcome.verdict for outcome in mine] for mine in by_slice],
        _firsts(slices, by_slice, known),
        held,
    )


def _cut(slices: Sequence[Slice], outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    rest = iter(outcomes)
    return [[next(rest) for _ in piece.changes] for piece in slices]


def _firsts(
    slices: Sequence[Slice],
    outcomes: Sequence[Sequence[Outcome]],
    known: dict[bytes, Known],
) -> list[dict[int, int]]:
    """What is said of a repeat's first one, by row of the slice's records."""
    first = {change_id: row.verdict for change_id, row in known.items()}
    found: list[dict[int, int]] = []
    for piece, mine in zip(slices, outcomes, strict=True):
        rows = (r for r in range(len(piece.records.offsets)) if r not in piece.faults)
        repeats: dict[int, int] = {}
        for row, change, outcome in zip(rows, piece.changes, mine, strict=True):
            if outcome.verdict in REPEATS:
                # Restored as told, the first one may come in another partition, later.
                repeats[row] = first.get(change.change_id, int(Verdict.UNKNOWN))
            else:
                first[change.change_id] = outcome.verdict
        found.append(repeats)
    return found
