"""What must hold before and after each batch, whatever the code around it believes.

Asked where something is written and again where it is read, once per batch and
partition, never per record. Where it does not hold, this program is wrong: the batch
is named, the step that was next is not taken (a COMMIT before it stands), and the
process stops before more is built on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from consumers.bank.batch import Records, Slice, ranges
from consumers.bank.position import Position
from consumers.bank.rules import Decision
from once.chain import HASH_BYTES
from once.errors import Defect


def require(holds: bool, otherwise: str, pieces: Sequence[Records | Slice]) -> None:
    """Raises Defect naming the batch when it does not hold."""
    if not holds:
        raise Defect(
            f"{otherwise}, in batch {ranges(pieces)}; this is a mistake in the program,"
            " which stops before its next step: keep the log, run the audit (make"
            " audit), and go back to the release before"
        )


def before_writing(slices: Sequence[Slice], positions: Mapping[int, Position]) -> None:
    """Records of partitions that are ours, behind what is applied, each once."""
    partitions = [piece.partition for piece in slices]
    require(len(set(partitions)) == len(slices), "a partition comes twice", slices)
    for piece in slices:
        offsets = piece.records.offsets
        rows = len(offsets)
        position = positions.get(piece.partition)
        require(position is not None, "a partition is not ours", [piece])
        assert position is not None, "required"
        require(offsets[0] >= position.next_offset, "records are applied", [piece])
        require(offsets[-1] - offsets[0] >= rows - 1, "offsets do not grow", [piece])
        whole = rows == len(piece.records.values) == len(piece.ids)
        require(whole, "records have lost a part", [piece])
        decided = len(piece.transfers.transfer_ids) + len(piece.changes)
        require(decided + len(piece.faults) == rows, "records are missing", [piece])
    changing = any(piece.changes for piece in slices)
    for piece in slices:
        mixed = changing and piece.transfers.transfer_ids
        require(not mixed, "transfers are among changes of accounts", [piece])


def after_deciding(slices: Sequence[Slice], decision: Decision) -> None:
    """One verdict per transfer, and no money that comes from or goes to nowhere."""
    for piece, verdicts in zip(slices, decision.verdicts, strict=True):
        given = len(verdicts) == len(piece.transfers.transfer_ids)
        require(given, "a transfer has no verdict or two", [piece])
    debited = sum(decision.debits.values())
    credited = sum(sum(mine.values()) for mine in decision.credits.values())
    require(debited == credited, f"debits {debited} are not credits {credited}", slices)


def after_linking(
    slices: Sequence[Slice],
    verdicts: Sequence[Sequence[int]],
    before: Mapping[int, Position],
    after: Mapping[int, Position],
) -> None:
    """Every position goes on to the end of its records, with one more link."""
    one_verdict_each(slices, verdicts)
    for piece in slices:
        old, new = before[piece.partition], after[piece.partition]
        require(new.next_offset == piece.next_offset, "a position is off", [piece])
        require(new.next_offset > old.next_offset, "a position goes back", [piece])
        grown = new.batch_number - old.batch_number
        require(grown == (old.open is None), "a batch is left out", [piece])
        linked = len(new.hash) == HASH_BYTES and new.hash != old.hash
        require(linked, "the chain has no new link", [piece])


def before_recalling(
    slices: Sequence[Slice], positions: Mapping[int, Position]
) -> None:
    """What is said again was applied before."""
    for piece in slices:
        position = positions.get(piece.partition)
        applied = position is not None and piece.next_offset <= position.next_offset
        require(applied, "records to be recalled are not applied", [piece])


def one_verdict_each(
    slices: Sequence[Slice], verdicts: Sequence[Sequence[int]]
) -> None:
    """As many verdicts as records, whether written or read back."""
    require(len(slices) == len(verdicts), "a slice has no verdicts", slices)
    for piece, mine in zip(slices, verdicts, strict=True):
        given = len(mine) == len(piece.records.offsets)
        require(given, "a record has no verdict or two", [piece])


def before_publishing(
    slices: Sequence[Slice],
    published: Mapping[int, int],
    offsets: Mapping[int, int],
) -> None:
    """Group offsets never go back, and name the end of a slice."""
    pieces = {piece.partition: piece for piece in slices}
    for partition, offset in offsets.items():
        piece = pieces.get(partition)
        mine = slices if piece is None else [piece]
        at_end = piece is not None and offset == piece.next_offset
        require(at_end, "a group offset is off", mine)
        forward = offset > published.get(partition, -1)
        require(forward, "a group offset goes back", mine)
