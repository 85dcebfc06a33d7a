"""What is checked while the log is followed: the results, and the rules in SQL.

Both wait for Kafka or Postgres most of the time, so each has a thread, with clients of
its own; the connection sees the snapshot of the one that follows the log.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from consumers.bank.audit import acknowledged, balances
from consumers.bank.audit.ledger import Snapshot
from consumers.bank.audit.report import Evidence
from consumers.bank.audit.results import Fold, Results
from consumers.bank.audit.settings import AuditSettings
from consumers.bank.audit.topics import Topics
from consumers.bank.audit.waivers import NONE, Waivers
from once.registry import Registry


class Beside:
    """Two threads: `results` and `rules` have what they found."""

    def __init__(
        self,
        settings: AuditSettings,
        snapshot: Snapshot,
        published: Fold,
        ack_log: Path | None,
        *,
        waivers: Waivers = NONE,
    ) -> None:
        """`published` becomes what the results topic has."""
        self._settings = settings
        self._waivers = waivers
        self._published = published
        self._ack_log = ack_log
        self._stopped = False
        with ExitStack() as opened:
            conninfo = settings.conninfo.get_secret_value()
            self._snapshot = Snapshot(conninfo, of=snapshot.name)
            opened.callback(self._snapshot.close)
            self._registry = Registry(settings.registry_url, settings.registry_ca)
            opened.callback(self._registry.close)
            self._topics = Topics(settings.client, settings.group)
            opened.callback(self._topics.close)
            self._resources = opened.pop_all()
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="beside")
        self.results = self._pool.submit(self._read_results)
        self.rules = self._pool.submit(self._check_rules)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        if not self.rules.done():  # we were interrupted: nobody waits for the rest
            self._snapshot.connection.cancel()
        self._pool.shutdown(cancel_futures=True)
        self._resources.close()

    def _read_results(self) -> tuple[Evidence, Results]:
        """What is wrong by itself; and what can read it again, record by record."""
        evidence, topic = Evidence(waivers=self._waivers), self._settings.topic
        results = Results(self._topics, self._settings.results_topic, self._registry)
        # Of partitions in which nothing was published when we asked: new ones, or none.
        undue: Counter[int] = Counter()
        for found in results.read(evidence):
            if self._stopped:
                break
            partition, offsets, ids, verdicts, _, emitter = found
            count = len(offsets)
            self._published.add(partition, offsets, ids, verdicts, [emitter] * count)
            evidence.saw("I8", count)
            if partition not in self._published.due:
                undue[partition] += count
        for partition in undue.keys() - set(self._topics.partitions(topic)):
            evidence.broken(
                "I8",
                f"{topic} has no partition {partition}, but {undue[partition]} results",
                undue[partition],
            )
        return evidence, results

    def _check_rules(self) -> tuple[Evidence, set[bytes]]:
        """What breaks the rules, and ids that were acknowledged and have no row."""
        evidence = Evidence(waivers=self._waivers)
        balances.check(self._snapshot.connection, evidence)
        if self._ack_log is None:
            return evidence, set()
        return evidence, acknowledged.absent(self._ack_log, self._snapshot, evidence)
