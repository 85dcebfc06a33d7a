"""Runs a replay: the plan, what was told, the second ledger, the comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

import psycopg
from pydantic import BaseModel

from consumers.bank.codec import TransferCodec
from consumers.bank.database import connect
from consumers.bank.replay.build import Anew, Builder
from consumers.bank.replay.compare import COMPARED, counted, differences
from consumers.bank.replay.log import Partition
from consumers.bank.replay.plan import Cut, First
from consumers.bank.replay.second import opened
from consumers.bank.replay.settings import ReplaySettings
from consumers.bank.restore import read_results
from consumers.bank.told import Told
from once.postgres import from_postgres
from once.published import PublishedReader
from once.registry import Registry

Shown = Callable[[str], None]
Limits = Mapping[int, int]


class ReplayReport(BaseModel):
    """What came out; `identical` only when every row and every hash is the same."""

    identical: bool
    records: int
    seconds: float
    rows: dict[str, int]  # compared, by table
    differences: list[str]
    otherwise: dict[str, int] = {}  # decided anew: "was -> would be", and how often
    examples: list[str] = []


def replay(
    settings: ReplaySettings,
    *,
    anew: bool = False,
    limits: Limits | None = None,
    shown: Shown = lambda doing: None,
) -> ReplayReport:
    """Build the second ledger, from where it stands, and compare.

    With `anew` verdicts are decided again, by today's rules and by these credit
    limits, and the report says which would be others. Raises OnceError.
    """
    began = time.monotonic()
    with ExitStack() as resources:
        registry = Registry(settings.registry_url, settings.registry_ca)
        resources.callback(registry.close)
        first = First(settings.conninfo.get_secret_value(), settings.topic)
        resources.callback(first.close)
        second = connect(settings.new_conninfo.get_secret_value(), "replay")
        resources.callback(second.close)
        codec = TransferCodec(registry, f"{settings.topic}-value")
        try:
            shown(f"reading {settings.results_topic}")
            told = _told(settings, registry, first)
            poster = opened(second, settings, first.topic_ids, told)
            otherwise = Anew() if anew else None
            builder = Builder(poster, codec, told, anew=otherwise, limits=limits)
            cuts = first.decisions() if anew else first.cuts()
            _build(settings, cuts, builder, shown, resources)
            found, rows = [], {}
            for table in COMPARED if not anew else ():
                shown(f"comparing {table.name}")
                rows[table.name] = counted(first.connection, table)
                found += differences(first.connection, second, table)
        except psycopg.Error as error:
            raise from_postgres(error, "replaying") from error
        return ReplayReport(
            identical=not found and not (otherwise and otherwise.counts),
            records=builder.records,
            seconds=round(time.monotonic() - began, 1),
            rows=rows,
            differences=found,
            otherwise=_counts(otherwise),
            examples=otherwise.examples if otherwise else [],
        )


def _counts(anew: Anew | None) -> dict[str, int]:
    found = anew.counts.most_common() if anew else []
    return {f"{was} -> {is_}": count for (was, is_), count in found}


def _told(settings: ReplaySettings, registry: Registry, first: First) -> Told:
    told = Told(settings.topic)
    for partition, until in first.positions().items():
        told.expect(partition, until)
    read_results(
        settings.client,
        group=settings.group,
        topic=settings.results_topic,
        reader=PublishedReader(registry),
        take=lambda published: told.take(0, published),
        beat=lambda: None,
    )
    return told


def _build(
    settings: ReplaySettings,
    cuts: Iterable[Cut],
    builder: Builder,
    shown: Shown,
    resources: ExitStack,
) -> None:
    starts = {p: at.next_offset for p, at in builder.positions.items()}
    logs: dict[int, Partition] = {}
    for cut in cuts:
        partition = cut.partition
        if cut.end <= starts[partition]:
            if cut.end == starts[partition] and cut.closed:
                builder.close(partition)
            continue
        if partition not in logs:
            log = Partition(
                settings.client,
                settings.group,
                settings.topic,
                partition,
                start=starts[partition],
            )
            resources.callback(log.close)
            logs[partition] = log
        builder.take(cut, logs[partition])
        shown(f"{builder.records:,} records are applied again")
    builder.end()
