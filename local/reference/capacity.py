"""What a rate costs: from measured costs of one transfer to disks, cores and nodes.

    python -m local sizes --rate 200 --peak 5

The costs are those of a drain (`make loadtest SCENARIO=drain`) and of PUTs, kept in
docs/benchmarks/costs.json with the machine they were measured on. A core of yours is
another one: measure, and give your file by --costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field

from local.reference.blocks import Table, table
from once.resources import find

KEPT = "docs/benchmarks/costs.json"
SHOWN = (20, 200, 2_000, 17_000)  # the last: a million a minute
HEADINGS = (
    "a second: average, peak",
    "partitions",
    "Stores, cores",
    "workers, cores",
    "each of three brokers",
    "each of three database servers",
    "index of a Store",
    "object store",
    "cores in all",
    "a month",
)
GIB = 1 << 30
DAY_SECONDS = 86_400
ZONES = 3  # a broker and a database server in each
# Of what a core, a disk or a partition can do, so much is planned for.
BUSY_MAX = 0.5
FULL_MAX = 0.7
PARTITIONS_MIN, WORKERS_MIN, STORES_MIN = 6, 3, 3
# A worker with a backlog: one takes so many a second, on half of two cores.
PARTITION_PER_SECOND = 20_000


class Costs(BaseModel):
    """Of one transfer: microseconds of CPU and bytes, as they were measured."""

    machine: str = Field(description="where, and when")
    store_us: float = Field(description="a Store that serves a PUT")
    bank_us: float
    primary_us: float
    standby_us: float = Field(description="each")
    broker_us: float = Field(description="each of three")
    ledger_bytes: float = Field(description="rows and indexes")
    wal_bytes: float = Field(description="before it is compressed for the archive")
    log_bytes: float = Field(description="transfers, receipts and results; one copy")
    index_bytes: float = Field(description="what a Store keeps to answer GET")


class Prices(BaseModel):
    """A month of each, in your currency: these are round figures to be replaced."""

    core: float = 30.0
    memory_gib: float = 4.0
    disk_gib: float = 0.1
    object_gib: float = 0.025


@dataclass(frozen=True)
class Plan:
    """What is asked: an average and a peak, and how long things are kept."""

    per_second: float
    peak: float = 5.0
    log_days: float = 90.0
    ledger_days: float = 365.0
    index_hours: float = 24.0
    backup_days: float = 35.0

    @property
    def peak_per_second(self) -> float:
        return self.per_second * self.peak


@dataclass(frozen=True)
class Sizes:
    """What that needs, over all three zones unless it says each."""

    partitions: int
    workers: int
    stores: int
    worker_cores: float
    store_cores: float
    broker_cores_each: float
    primary_cores_each: float
    broker_gib_each: float
    ledger_gib_each: float
    archive_gib: float
    index_gib_each: float

    @property
    def cores(self) -> float:
        """For which nodes have room: limits of all that runs."""
        servers = ZONES * (self.broker_cores_each + self.primary_cores_each)
        return servers + self.worker_cores + self.store_cores

    @property
    def disks_gib(self) -> float:
        """Volumes, without the object store."""
        return ZONES * (self.broker_gib_each + self.ledger_gib_each)

    def per_month(self, prices: Prices, memory_gib_per_core: float = 4.0) -> float:
        """What nodes, volumes and the object store cost; no traffic, no people."""
        node = prices.core + memory_gib_per_core * prices.memory_gib
        return (
            self.cores * node
            + self.disks_gib * prices.disk_gib
            + self.archive_gib * prices.object_gib
        )


def costs(path: Path | None = None) -> Costs:
    """Those in a file, or those that we measured. Raises pydantic.ValidationError."""
    return Costs.model_validate_json((path or find(KEPT)).read_text(encoding="utf-8"))


def tables() -> dict[str, Table]:
    """The plans of docs/reference/sizes.md, as `sizes`."""
    return {"sizes": lambda: shown([Plan(rate) for rate in SHOWN], costs(), Prices())}


def shown(plans: Sequence[Plan], measured: Costs, prices: Prices) -> str:
    """A row for each plan."""
    rows = []
    for plan in plans:
        of = sizes(plan, measured)
        rows.append(
            (
                f"{plan.per_second:,.0f}, {plan.peak_per_second:,.0f}",
                str(of.partitions),
                f"{of.stores}, {of.store_cores:g}",
                f"{of.workers}, {of.worker_cores:g}",
                f"{of.broker_cores_each:g}, {of.broker_gib_each:,.0f} GiB",
                f"{of.primary_cores_each:g}, {of.ledger_gib_each:,.0f} GiB",
                f"{of.index_gib_each:,.0f} GiB",
                f"{of.archive_gib:,.0f} GiB",
                f"{of.cores:g}",
                f"{of.per_month(prices):,.0f}",
            )
        )
    return table(HEADINGS, rows)


def sizes(plan: Plan, costs: Costs) -> Sizes:
    """What a plan needs: cores for its peak, disks for its average over the days."""
    peak = plan.peak_per_second

    def cores(microseconds: float) -> float:
        return _half_up(peak * microseconds / 1e6 / BUSY_MAX)

    def disk(bytes_each: float, days: float) -> float:
        kept = plan.per_second * days * DAY_SECONDS * bytes_each
        return math.ceil(kept / FULL_MAX / GIB)

    partitions = max(PARTITIONS_MIN, math.ceil(peak / PARTITION_PER_SECOND / BUSY_MAX))
    return Sizes(
        partitions=_multiple(partitions, of=ZONES),
        workers=max(WORKERS_MIN, math.ceil(cores(costs.bank_us))),
        stores=max(STORES_MIN, math.ceil(cores(costs.store_us) / 2)),
        worker_cores=max(WORKERS_MIN * 0.5, cores(costs.bank_us)),
        store_cores=max(STORES_MIN * 0.5, cores(costs.store_us)),
        broker_cores_each=cores(costs.broker_us),
        primary_cores_each=cores(costs.primary_us + costs.standby_us),
        broker_gib_each=disk(costs.log_bytes, plan.log_days),
        ledger_gib_each=disk(costs.ledger_bytes, plan.ledger_days),
        archive_gib=disk(costs.wal_bytes / 2, plan.backup_days)
        + disk(costs.ledger_bytes / 2, plan.ledger_days),
        index_gib_each=disk(costs.index_bytes, plan.index_hours / 24),
    )


def _half_up(cores: float) -> float:
    """In halves of a core, one half at least."""
    return max(0.5, math.ceil(cores * 2) / 2)


def _multiple(number: int, of: int) -> int:
    return math.ceil(number / of) * of
