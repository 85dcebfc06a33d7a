"""The Bank's chain and the audit's are written apart and must agree."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consumers.bank.audit.chain import linked
from once.chain import GENESIS, link

records = st.lists(
    st.tuples(
        st.integers(0, 2**40), st.none() | st.binary(max_size=50), st.integers(0, 11)
    ),
    min_size=1,
    max_size=20,
)


def again(before: bytes, rows: list[tuple[int, bytes | None, int]]) -> bytes:
    """As the audit computes it, of (offset, value, verdict)."""
    offsets, values, verdicts = zip(*rows, strict=True)
    return linked(before, np.array(offsets, np.int64), values, bytes(verdicts))


@given(st.binary(min_size=32, max_size=32), records)
def test_both_compute_the_same_link(
    before: bytes, rows: list[tuple[int, bytes | None, int]]
) -> None:
    offsets, values, verdicts = (list(column) for column in zip(*rows, strict=True))
    assert link(before, offsets, values, verdicts) == again(before, rows)


@given(records, st.data())
def test_any_change_of_a_record_changes_the_link(
    rows: list[tuple[int, bytes | None, int]], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    offset, value, verdict = rows[at]
    other = data.draw(
        st.sampled_from(
            [
                (offset + 1, value, verdict),
                (offset, (value or b"") + b"\0", verdict),
                (offset, value, (verdict + 1) % 12),
            ]
        )
    )
    changed = [*rows[:at], other, *rows[at + 1 :]]
    assert again(GENESIS, rows) != again(GENESIS, changed)
