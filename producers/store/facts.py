"""What the log says of transfers that came by HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from producers.store.receipts import ClientReceipts, unpacked


class Decided(NamedTuple):
    """The Bank's verdicts on sendings of one emitter, and on repeats' first: packed."""

    transfer_ids: bytes  # 16 bytes each, one behind the other
    verdicts: Sequence[int]
    firsts: Sequence[int]

    def __len__(self) -> int:
        return len(self.verdicts)


@dataclass(frozen=True, slots=True)
class Facts:
    """What some records say, by the emitter that they are about."""

    receipts: Mapping[bytes, Sequence[ClientReceipts]] = field(default_factory=dict)
    results: Mapping[bytes, Sequence[Decided]] = field(default_factory=dict)

    def packed(self) -> bytes:
        """The transfers of which more is known now, one id behind the other."""
        received = (
            each.transfer_ids for mine in self.receipts.values() for each in mine
        )
        decided = (each.transfer_ids for mine in self.results.values() for each in mine)
        return b"".join((*received, *decided))

    def ids(self) -> set[bytes]:
        """The same ids, one by one."""
        return set(unpacked(self.packed()))


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
