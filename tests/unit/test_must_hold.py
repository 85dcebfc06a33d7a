"""What must hold of a batch: each planted mistake stops it, and the batch is named."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.bank import must_hold
from consumers.bank.batch import Numbered, Records, Slice
from consumers.bank.chaining import join
from consumers.bank.change import Asked, Change
from consumers.bank.position import Position
from consumers.bank.rules import Decision, Transfers
from consumers.bank.verdicts import Verdict
from once.chain import GENESIS
from once.errors import Defect

POSTED = int(Verdict.POSTED)


def a_slice(partition: int, offsets: list[int]) -> Slice:
    """Transfers of 7 minor units from account 1 to account 2."""
    rows = len(offsets)
    ids = [offset.to_bytes(16, "big") for offset in offsets]
    return Slice(
        records=Records(partition, offsets, [b"k"] * rows, [b"v"] * rows, []),
        ids=ids,
        emitters=[None] * rows,
        faults={},
        transfers=Transfers(
            partition, ids, [1] * rows, [2] * rows, [7] * rows, [b"EUR"] * rows, [""]
        ),
        offsets=offsets,
        created_at_ms=[0] * rows,
        numbered=Numbered([], [], []),
    )


SLICES = [a_slice(0, [5, 6, 9]), a_slice(3, [40])]
BEFORE = {0: Position(5, 1, GENESIS), 3: Position(12, 4, b"h" * 32)}
VERDICTS = [[POSTED] * 3, [POSTED]]
AFTER = {
    piece.partition: join(BEFORE[piece.partition], piece, mine)[0]
    for piece, mine in zip(SLICES, VERDICTS, strict=True)
}


def decided() -> Decision:
    return Decision(
        verdicts=[list(mine) for mine in VERDICTS],
        debits={1: 28},
        credits={0: {2: 21}, 3: {2: 7}},
    )


def test_what_is_right_is_let_through() -> None:
    must_hold.before_writing(SLICES, BEFORE)
    must_hold.after_deciding(SLICES, decided())
    must_hold.after_linking(SLICES, VERDICTS, BEFORE, AFTER)
    must_hold.before_recalling(SLICES, AFTER)
    must_hold.before_publishing(SLICES, {}, {0: 10, 3: 41})
    must_hold.before_publishing(SLICES, {0: 9, 3: 3}, {0: 10})


def unequal() -> None:
    piece = a_slice(0, [5, 6])
    piece.records.values.pop()
    must_hold.before_writing([piece], BEFORE)


def a_transfer_short() -> None:
    piece = a_slice(0, [5, 6])
    piece.transfers.transfer_ids = piece.ids[:1]
    must_hold.before_writing([piece], BEFORE)


def a_change_among_transfers() -> None:
    piece = a_slice(0, [5, 6])
    piece.transfers.transfer_ids = piece.ids[:1]
    asked = Asked(1, False, "EUR", None, None, "", "")
    piece.changes = [Change(piece.ids[1], asked, 0)]
    must_hold.before_writing([piece], BEFORE)


def money_from_nowhere() -> None:
    decision = decided()
    decision.credits[3][2] += 1
    must_hold.after_deciding(SLICES, decision)


def a_verdict_short() -> None:
    decision = decided()
    decision.verdicts[0].pop()
    must_hold.after_deciding(SLICES, decision)


def linked_with(**changes: object) -> Callable[[], None]:
    after = AFTER | {0: replace(AFTER[0], **changes)}  # type: ignore[arg-type]
    return lambda: must_hold.after_linking(SLICES, VERDICTS, BEFORE, after)


MISTAKES: dict[str, Callable[[], None]] = {
    "a partition comes twice": lambda: must_hold.before_writing(
        [SLICES[0], SLICES[0]], BEFORE
    ),
    "a partition is not ours": lambda: must_hold.before_writing(SLICES, {3: BEFORE[3]}),
    "records are applied": lambda: must_hold.before_writing(
        SLICES, BEFORE | {0: Position(6, 1, GENESIS)}
    ),
    "offsets do not grow": lambda: must_hold.before_writing(
        [a_slice(0, [5, 7, 6])], BEFORE
    ),
    "records have lost a part": unequal,
    "records are missing": a_transfer_short,
    "transfers are among changes of accounts": a_change_among_transfers,
    "debits 28 are not credits 29": money_from_nowhere,
    "a transfer has no verdict or two": a_verdict_short,
    "a record has no verdict or two": lambda: must_hold.one_verdict_each(
        SLICES, [[POSTED] * 3, []]
    ),
    "a slice has no verdicts": lambda: must_hold.one_verdict_each(SLICES, []),
    "a position is off": linked_with(next_offset=11),
    "a position goes back": lambda: must_hold.after_linking(
        SLICES, VERDICTS, BEFORE | {0: Position(12, 1, GENESIS)}, AFTER
    ),
    "a batch is left out": linked_with(batch_number=3),
    "the chain has no new link": linked_with(hash=b"short"),
    "records to be recalled are not applied": lambda: must_hold.before_recalling(
        SLICES, BEFORE
    ),
    "a group offset is off": lambda: must_hold.before_publishing(SLICES, {}, {0: 9}),
    "a group offset goes back": lambda: must_hold.before_publishing(
        SLICES, {0: 10}, {0: 10}
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_our_own_is_a_defect_that_names_the_batch(mistake: str) -> None:
    with pytest.raises(Defect, match=rf"{mistake}, in batch (\[0\]@5|\[3\]@40)"):
        MISTAKES[mistake]()


def test_every_sentence_is_planted() -> None:
    tree = ast.parse(Path(must_hold.__file__).read_text())
    sentences = {
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "require"
        if isinstance(node.args[1], ast.Constant)
    }
    assert sentences and sentences <= set(MISTAKES)
