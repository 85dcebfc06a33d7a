"""Which decision each record was part of, and what that decision saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from consumers.bank.audit.judged import Numbers

NONE = -1
TOLD = 0  # in the place of an epoch: taken from the results, not decided


@dataclass(frozen=True, slots=True)
class Decision:
    """One row of `decisions`: a transaction of the Bank."""

    partitions: Sequence[int]
    first_offsets: Sequence[int]
    next_offsets: Sequence[int]
    before: Sequence[int]  # of partitions 0, 1, ...
    after: Sequence[int]

    def view(self, partition: int, applied: Sequence[int]) -> dict[int, int]:
        """Up to which offset the others counted, when this partition was decided.

        `applied` is `before` for what was seen at least, `after` for what was at most.
        """
        limits = dict(enumerate(applied))
        done = True
        for each, first, due in zip(
            self.partitions, self.first_offsets, self.next_offsets, strict=True
        ):
            done = done and each != partition
            limits[each] = due if done else first
        limits.pop(partition)
        return limits


class Spans:
    """The decisions of one partition, by the offsets that they are about."""

    def __init__(
        self, first: Numbers, due: Numbers, numbers: Numbers, epochs: Numbers
    ) -> None:
        """First offset, next offset, number and epoch of each."""
        order = np.argsort(first, kind="stable")
        self._first, self._next = first[order], due[order]
        self._numbers, self._epochs = numbers[order], epochs[order]

    def find(self, offsets: Numbers) -> tuple[Numbers, Numbers]:
        """Number and epoch of the decision about each offset; NONE where none is."""
        if not len(self._first):
            return np.full(len(offsets), NONE), np.full(len(offsets), NONE)
        found = np.searchsorted(self._first, offsets, "right") - 1
        known = (found >= 0) & (offsets < self._next[found])
        return (
            np.where(known, self._numbers[found], NONE),
            np.where(known, self._epochs[found], NONE),
        )


def views(
    decisions: Mapping[int, Decision], numbers: Numbers, partitions: Numbers
) -> tuple[list[int], Numbers, Numbers]:
    """How far each other partition counted for some records, at least and at most.

    The partitions that count at all; then two tables, by record and by those.
    """
    pairs, index = np.unique(
        np.stack((numbers, partitions)), axis=1, return_inverse=True
    )
    least, most = [], []
    for number, partition in pairs.T.tolist():
        decision = decisions[number]
        least.append(decision.view(partition, decision.before))
        most.append(decision.view(partition, decision.after))
    columns = sorted(
        {other for view in most for other in view} | set(partitions.tolist())
    )
    at_least, at_most = (
        np.array([[view.get(other, 0) for other in columns] for view in all_], np.int64)
        for all_ in (least, most)
    )
    return columns, at_least[index.ravel()], at_most[index.ravel()]
