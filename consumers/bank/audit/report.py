"""What the audit found: per invariant, how much was checked and what breaks it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pydantic import BaseModel

from consumers.bank.audit.behind import Behind
from consumers.bank.audit.waivers import NONE, Waivers

INVARIANTS = {
    "I1": "every acknowledged transfer is in the ledger or in quarantine",
    "I2": "each transfer_id has one effect",
    "I3": "every ledger row traces to a committed Kafka record",
    "I4": "debits = credits per currency; balance = fold of the transfers",
    "I5": "no balance beyond its limit, no improper transfer",
    "I6": "positions only grow; the hash chain equals the log's",
    "I7": "per account, apply order = offset order",
    "I8": "exactly one result per record, equal to the ledger's",
    "I9": "ledger rows cannot be changed",
    "I10": "no emitter has a gap",
    "I11": "every verdict was right when it was given",
}
FINDINGS_MAX = 20  # per invariant; the count goes on


@dataclass(slots=True)
class Evidence:
    """Collects what is checked and found, by invariant."""

    checked: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(INVARIANTS, 0)
    )
    violations: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(INVARIANTS, 0)
    )
    findings: dict[str, list[str]] = field(
        default_factory=lambda: {name: [] for name in INVARIANTS}
    )
    notes: list[str] = field(default_factory=list)
    waivers: Waivers = NONE
    accepted: Counter[str] = field(default_factory=Counter)  # known, by invariant

    def saw(self, invariant: str, count: int = 1) -> None:
        """So many things were checked."""
        self.checked[invariant] += count

    def broken(self, invariant: str, finding: str, count: int = 1) -> None:
        """This breaks the invariant; `finding` names the exact records.

        Unless it is known, and somebody answers for it.
        """
        if waiver := self.waivers.accepts(invariant, finding):
            self.accepted[invariant] += count
            self.notes.append(str(waiver))
            return
        self.violations[invariant] += count
        if len(self.findings[invariant]) < FINDINGS_MAX:
            self.findings[invariant].append(finding)

    def add(self, other: Evidence) -> None:
        """What was found at the same time by another."""
        for name in INVARIANTS:
            self.checked[name] += other.checked[name]
            self.violations[name] += other.violations[name]
            found = self.findings[name] + other.findings[name]
            self.findings[name] = found[:FINDINGS_MAX]
        self.accepted += other.accepted
        self.notes += other.notes


class InvariantReport(BaseModel):
    """One line of the report."""

    meaning: str
    holds: bool
    checked: int
    violations: int
    accepted: int  # known findings, which are in the notes
    findings: list[str]


class AuditReport(BaseModel):
    """The whole report; `invariants_ok` only when every invariant holds."""

    invariants_ok: bool
    seconds: float
    records: int
    posted: int
    declined: int
    changed: int = 0  # accounts that were opened or changed; older reports lack it
    repeats: int
    quarantined: int
    lost: int
    duplicated: int
    behind: Behind  # what was not looked at
    invariants: dict[str, InvariantReport]
    notes: list[str]


def invariant_reports(evidence: Evidence) -> dict[str, InvariantReport]:
    """The lines of the report, I1 to I11."""
    return {
        name: InvariantReport(
            meaning=meaning,
            holds=evidence.violations[name] == 0,
            checked=evidence.checked[name],
            violations=evidence.violations[name],
            accepted=evidence.accepted[name],
            findings=evidence.findings[name],
        )
        for name, meaning in INVARIANTS.items()
    }
