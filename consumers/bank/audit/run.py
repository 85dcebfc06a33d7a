"""Runs the whole audit: one snapshot, the log up to it, the results, the rules."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from consumers.bank.audit import acknowledged, balances, results
from consumers.bank.audit.ledger import Snapshot
from consumers.bank.audit.report import AuditReport, Evidence, invariant_reports
from consumers.bank.audit.topics import Topics
from consumers.bank.audit.trace import (
    DECIDED_MAX,
    EXISTS,
    POSTED,
    QUARANTINED,
    Trace,
)
from consumers.bank.codec import TransferCodec
from once.postgres import from_postgres
from once.registry import Registry
from once.settings import KafkaAndRegistrySettings


class AuditSettings(KafkaAndRegistrySettings):
    """Where to look (AUDIT_...)."""

    model_config = SettingsConfigDict(env_prefix="AUDIT_", extra="ignore")

    conninfo: SecretStr = Field(description="libpq conninfo of the primary, role audit")
    topic: str = "transfers"
    results_topic: str = "transfer-results"
    group: str = Field("bank", description="whose offsets say what is published")


def audit(
    settings: AuditSettings,
    ack_log: Path | None = None,
    shown: Callable[[str], None] = lambda text: None,
) -> AuditReport:
    """Check all invariants at this moment, also under load.

    Raises Retriable while something cannot be read, Defect for a wrong deployment.
    """
    began = time.monotonic()
    registry = Registry(settings.registry_url, settings.registry_ca)
    codec = TransferCodec(registry, f"{settings.topic}-value")
    topics = Topics(settings.client, settings.group)
    # Offsets before the snapshot: results are published after the ledger's COMMIT, so
    # everything below these offsets is in the snapshot and in the results topic.
    published = topics.group_offsets(settings.topic)
    snapshot = Snapshot(settings.conninfo.get_secret_value())
    try:
        evidence = Evidence()
        trace = Trace(topics, snapshot, codec, settings.topic, evidence)
        reader = results.Results(topics, settings.results_topic, registry)
        positions = snapshot.positions(settings.topic)
        begins = {p: topics.ends(settings.topic, p)[0] for p in positions}
        comparison = results.Comparison(begins, published)
        for partition, (until, number) in positions.items():
            if number and partition not in published:
                evidence.broken(
                    "I8",
                    f"group {settings.group} has no offset in {settings.topic}"
                    f"[{partition}]: which results are due is unknown",
                )
            shown(f"following {settings.topic}[{partition}] to offset {until}")
            for judged in trace.partition(partition, begins[partition], until, number):
                comparison.expect(partition, judged)
        for row in snapshot.other_partitions(list(positions)):
            evidence.broken("I3", f"ledger row {row[0]} claims partition {row[1]}")
        shown(f"comparing {settings.results_topic}")
        results.check(comparison, reader, trace)
        for partition, offset in published.items():
            if offset > positions.get(partition, (0, 0))[0]:
                evidence.broken("I8", _ahead(settings, partition, offset))
        shown("folding the ledger")
        balances.check(snapshot.connection, evidence)
        _check_gaps(snapshot.connection, evidence)
        if ack_log is not None:
            shown("looking for what was acknowledged")
            due = {partition: until for partition, (until, _) in positions.items()}
            acknowledged.check(ack_log, trace, due)
        return _report(trace, time.monotonic() - began)
    except psycopg.Error as error:
        raise from_postgres(error, "auditing the ledger") from error
    finally:
        snapshot.close()
        topics.close()
        registry.close()


def _ahead(settings: AuditSettings, partition: int, offset: int) -> str:
    return (
        f"{settings.topic}[{partition}]: group {settings.group} says that results are "
        f"published up to {offset}, which is beyond the position"
    )


def _check_gaps(connection: psycopg.Connection, evidence: Evidence) -> None:
    """Gaps that the Bank noticed count also when retention took the evidence."""
    for row in connection.execute(
        "SELECT emitter, partition, record_offset, expected_sequence, found_sequence"
        " FROM emitter_gaps ORDER BY detected_at"
    ):
        evidence.broken(
            "I10",
            f"the Bank noticed: emitter {row[0]}, partition {row[1]}, offset {row[2]}: "
            f"expected number {row[3]}, found {row[4]}",
        )


def _report(trace: Trace, seconds: float) -> AuditReport:
    verdicts, evidence = trace.verdicts, trace.evidence
    return AuditReport(
        invariants_ok=not any(evidence.violations.values()),
        seconds=round(seconds, 1),
        records=verdicts.total(),
        posted=verdicts[POSTED],
        declined=sum(verdicts[v] for v in range(POSTED + 1, DECIDED_MAX + 1)),
        repeats=verdicts[EXISTS] + verdicts[EXISTS + 1],
        quarantined=verdicts[QUARANTINED],
        lost=evidence.violations["I1"],
        duplicated=evidence.violations["I2"],
        invariants=invariant_reports(evidence),
        notes=evidence.notes,
    )
