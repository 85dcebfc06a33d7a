"""Runs the whole audit: one snapshot, the log up to it, the results, the rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import psycopg

from consumers.bank.audit import acknowledged, results, waivers
from consumers.bank.audit.behind import Applied, Behind, behind
from consumers.bank.audit.beside import Beside
from consumers.bank.audit.changes import CHANGED, ChangeJudge
from consumers.bank.audit.judge import Judge, Kept
from consumers.bank.audit.ledger import Snapshot
from consumers.bank.audit.report import AuditReport, Evidence, invariant_reports
from consumers.bank.audit.results import Fold
from consumers.bank.audit.settings import AuditSettings
from consumers.bank.audit.topics import Topics
from consumers.bank.audit.trace import (
    DECLINED,
    DIFFERENT,
    EXISTS,
    POSTED,
    QUARANTINED,
    Trace,
)
from consumers.bank.codec import TransferCodec
from once.backoff import pauses
from once.postgres import from_postgres
from once.registry import Registry

__all__ = ["AuditSettings", "audit"]

FIRST_RESULTS_SECONDS_MAX = 10.0


def audit(
    settings: AuditSettings,
    ack_log: Path | None = None,
    shown: Callable[[str], None] = lambda text: None,
) -> AuditReport:
    """Check all invariants at this moment, also under load.

    Raises Retriable while something cannot be read, Defect for a wrong deployment.
    """
    began = time.monotonic()
    known_findings = waivers.read(settings.waivers, settings.waiver_key)
    with ExitStack() as resources:
        registry = Registry(settings.registry_url, settings.registry_ca)
        resources.callback(registry.close)
        topics = Topics(settings.client, settings.group)
        resources.callback(topics.close)
        # Offsets before the snapshot: results are published after the ledger's COMMIT,
        # so everything below these offsets is in the snapshot and in the results topic.
        due = topics.group_offsets(settings.topic)
        snapshot = Snapshot(settings.conninfo.get_secret_value())
        resources.callback(snapshot.close)
        codec = TransferCodec(registry, f"{settings.topic}-value")
        topic, evidence = settings.topic, Evidence(waivers=known_findings)
        evidence.notes += known_findings.notes
        try:
            spans = partial(snapshot.spans, topic)
            kept = Kept(snapshot.terms(), spans, snapshot.events, snapshot.decisions)
            judge = Judge(kept, topic, evidence)
            trace = Trace(topics, snapshot, codec, topic, evidence, judge)
            changes = ChangeJudge(topic, judge, spans, snapshot.by_hand_until())
            positions = snapshot.positions(topic)
            left_out = behind(topics, topic, positions, due)
            _check_all(
                settings,
                trace,
                positions,
                changes=changes,
                due=due,
                ack_log=ack_log,
                shown=shown,
            )
        except psycopg.Error as error:
            raise from_postgres(error, "auditing the ledger") from error
        return _report(trace, left_out, time.monotonic() - began)


def _check_all(
    settings: AuditSettings,
    trace: Trace,
    positions: Mapping[int, Applied],
    *,
    changes: ChangeJudge,
    due: Mapping[int, int],
    ack_log: Path | None,
    shown: Callable[[str], None],
) -> None:
    begins = {p: trace.topics.ends(settings.topic, p)[0] for p in positions}
    expected, published = Fold(begins, due), Fold(begins, due)
    with Beside(
        settings,
        trace.snapshot,
        published,
        ack_log,
        waivers=trace.evidence.waivers,
    ) as beside:
        for partition, (until, number, _) in positions.items():
            shown(f"following {settings.topic}[{partition}] to offset {until}")
            for judged in trace.partition(partition, begins[partition], until, number):
                ids, verdicts = b"".join(judged.ids), np.array(judged.verdicts)
                senders = judged.senders
                expected.add(partition, judged.offsets, ids, verdicts, senders)
        shown("judging changes of accounts, and summing up what money decided")
        changes.hear(trace.snapshot.all_changes(), trace.evidence)
        trace.judge.sum_up()
        trace.evidence.notes += _not_judged(trace.judge)
        undue = {p for p, at in positions.items() if at.batch_number} - due.keys()
        for partition in _unpublished(trace.topics, settings.topic, undue):
            trace.evidence.broken("I8", _unknown(settings, partition))
        shown(f"comparing {settings.results_topic}")
        evidence, reader = beside.results.result()
        trace.evidence.add(evidence)
        results.compare(expected, published, reader, trace)
        shown("folding the ledger")
        evidence, absent = beside.rules.result()
        trace.evidence.add(evidence)
    acknowledged.check(absent, trace, {p: at.until for p, at in positions.items()})
    for row in trace.snapshot.other_partitions(list(positions)):
        trace.evidence.broken("I3", f"ledger row {row[0]} claims partition {row[1]}")
    for partition, offset in due.items():
        if offset > positions.get(partition, Applied(0, 0, 0)).until:
            trace.evidence.broken("I8", _ahead(settings, partition, offset))


def _unpublished(topics: Topics, topic: str, partitions: set[int]) -> set[int]:
    """Those in which the group has no offset, not after a while either.

    A Bank that has just begun publishes its first results after its first COMMIT.
    """
    deadline = time.monotonic() + FIRST_RESULTS_SECONDS_MAX
    delays = pauses()
    while partitions:
        partitions = partitions - topics.group_offsets(topic).keys()
        if time.monotonic() >= deadline:
            break
        time.sleep(next(delays))  # Kafka tells nobody of a commit
    return partitions


def _not_judged(judge: Judge) -> Iterator[str]:
    if judge.unjudged:
        yield (
            f"of {judge.unjudged} verdicts it was not kept what their decider saw, so "
            "I11 does not judge them: an older Bank gave them (did the number grow?)"
        )
    if judge.told:
        yield (
            f"{judge.told} verdicts were taken from the results of an older ledger: "
            "I11 does not judge them"
        )


def _unknown(settings: AuditSettings, partition: int) -> str:
    return (
        f"group {settings.group} has no offset in {settings.topic}[{partition}]: which "
        "results are due is unknown"
    )


def _ahead(settings: AuditSettings, partition: int, offset: int) -> str:
    return (
        f"{settings.topic}[{partition}]: group {settings.group} says that results are "
        f"published up to {offset}, which is beyond the position"
    )


def _report(trace: Trace, left_out: Behind, seconds: float) -> AuditReport:
    verdicts, evidence = trace.verdicts, trace.evidence
    return AuditReport(
        invariants_ok=not any(evidence.violations.values()),
        seconds=round(seconds, 1),
        records=verdicts.total(),
        posted=verdicts[POSTED],
        declined=sum(verdicts[verdict] for verdict in DECLINED),
        changed=verdicts[CHANGED],
        repeats=verdicts[EXISTS] + verdicts[DIFFERENT],
        quarantined=verdicts[QUARANTINED],
        lost=evidence.violations["I1"],
        duplicated=evidence.violations["I2"],
        behind=left_out,
        invariants=invariant_reports(evidence),
        notes=evidence.notes,
    )
