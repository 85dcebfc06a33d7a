"""The acknowledgement log, as a Store writes it and as the audit reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import pytest

from consumers.bank.audit.acknowledged import absent
from consumers.bank.audit.ledger import Snapshot
from consumers.bank.audit.report import Evidence
from once.errors import Defect
from producers.store.acknowledgements import AcknowledgementLog


class Empty:
    """A ledger without a row."""

    def absent(self, ids: Sequence[bytes]) -> set[bytes]:
        return set(ids)


def read(log: Path) -> tuple[set[UUID], Evidence]:
    evidence = Evidence()
    ids = absent(log, cast(Snapshot, Empty()), evidence)
    return {UUID(bytes=each) for each in ids}, evidence


def test_what_a_store_writes_is_what_the_audit_reads(tmp_path: Path) -> None:
    ids, path = [uuid4() for _ in range(3)], tmp_path / "acknowledged"
    for each in ids:
        with AcknowledgementLog(path) as log:
            log.append([each.bytes])
    found, evidence = read(path)
    assert found == set(ids)
    assert evidence.checked["I1"] == 3 and evidence.notes == []


@pytest.mark.parametrize("left", [1, 17, 18, 35])
def test_a_line_that_was_cut_short_is_noted_and_spoils_no_other(
    left: int, tmp_path: Path
) -> None:
    path, before, cut, after = tmp_path / "acknowledged", *(uuid4() for _ in range(3))
    path.write_text(f"{before}\n{str(cut)[:left]}")
    found, evidence = read(path)
    assert found == {before}
    assert len(evidence.notes) == 1 and "line 2" in evidence.notes[0]
    with AcknowledgementLog(path) as log:
        log.append([after.bytes])
    found, evidence = read(path)
    assert found == {before, after}
    assert len(evidence.notes) == 1


def test_a_file_of_something_else_is_no_acknowledgement_log(tmp_path: Path) -> None:
    path = tmp_path / "payments.ndjson"
    path.write_text(f'{uuid4()}\n{{"transfer_id": "{uuid4()}"}}\n')
    with pytest.raises(Defect, match="line 2 of .*payments.ndjson is no id"):
        read(path)
