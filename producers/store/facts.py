"""What the log says of transfers that came by HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from producers.store.receipts import ClientReceipts


class Decided(NamedTuple):
    """The Bank's verdict on one sending of a transfer, and on a repeat's first."""

    transfer_id: bytes
    verdict: int
    first: int = 0  # UNKNOWN


@dataclass(frozen=True, slots=True)
class Facts:
    """What some records say, by the emitter that they are about."""

    receipts: Mapping[bytes, Sequence[ClientReceipts]] = field(default_factory=dict)
    results: Mapping[bytes, Sequence[Decided]] = field(default_factory=dict)

    def ids(self) -> set[bytes]:
        """The transfers of which more is known now."""
        received = (each for mine in self.receipts.values() for each in mine)
        decided = (each for mine in self.results.values() for each in mine)
        return {each.transfer_id for each in decided}.union(
            *(each.ids() for each in received)
        )


class Place(NamedTuple):
    """One partition of one topic; a topic that is made anew has another id."""

    topic_id: str
    partition: int


class Range(NamedTuple):
    """Offsets of a partition that were read: from `first` to before `end`."""

    place: Place
    first: int
    end: int


def missing(wanted: Range, held: Sequence[Range]) -> list[Range]:
    """What of `wanted` no range in `held` has, in order."""
    place, at, end = wanted
    gaps: list[Range] = []
    mine = (each for each in held if each.place == place)
    for each in sorted(mine, key=lambda range_: range_.first):
        if each.first > at:
            gaps.append(Range(place, at, min(each.first, end)))
        at = max(at, each.end)
        if at >= end:
            break
    else:
        if at < end:
            gaps.append(Range(place, at, end))
    return [gap for gap in gaps if gap.first < gap.end]
