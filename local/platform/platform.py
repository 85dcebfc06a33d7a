"""The platform on a running stack: ledger, topics and schemas made, programs started.

What the demo, the load tests and the tests share. Several platforms can live on one
stack side by side, each with its own name, ledger, topics and consumer group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psycopg
from confluent_kafka.admin import AdminClient
from psycopg import sql

from consumers.bank.audit.report import AuditReport
from consumers.bank.audit.run import AuditSettings, audit
from local.platform.program import Program
from local.platform.scraped import scraped
from local.platform.watch import Watch
from local.processes.errors import StackError
from local.stack import Stack
from local.stack.passwords import SUPERUSER
from local.stack.roles import OWNER, ensure_database
from once import resources, topics
from once.migrate import assert_again, migrate
from once.registry import Registry, load_schema
from producers.store.account_changes import subject_of

OPENING_SECONDS_MAX = 300.0


@dataclass(frozen=True)
class Platform:
    """One ledger with its topics, and the programs that work on them."""

    stack: Stack
    name: str
    logs: Path

    @property
    def topic(self) -> str:
        return f"transfers{self._suffix}"

    @property
    def results_topic(self) -> str:
        return f"transfer-results{self._suffix}"

    @property
    def receipts_topic(self) -> str:
        return f"transfer-receipts{self._suffix}"

    @property
    def group(self) -> str:
        return f"bank{self._suffix}"

    @property
    def dbname(self) -> str:
        return f"ledger{self._suffix}"

    @property
    def _suffix(self) -> str:
        return f"-{self.name}" if self.name else ""

    def set_up(self, partitions: int = 6) -> None:
        """Make the ledger, the topics and the schemas; what is there already stays."""
        with self._superuser() as connection:
            ensure_database(connection, self.dbname, OWNER)
        with psycopg.connect(self.conninfo("migrator")) as connection:
            migrate(connection, resources.find("postgres/migrations"))
            assert_again(connection, resources.find("postgres/asserted"))
        registry = Registry(self.stack.endpoints.registry_url)
        for subject, file in self.subjects.items():
            registry.register(subject, load_schema(resources.find(file)))
        registry.close()
        self.create_topics(partitions)

    @property
    def topics(self) -> tuple[str, ...]:
        """All of them."""
        return (self.topic, self.results_topic, self.receipts_topic)

    @property
    def subjects(self) -> dict[str, str]:
        """The schema file of each subject of the registry."""
        return {
            f"{self.topic}-value": "avro/transfer.avsc",
            subject_of(self.topic): "avro/account-change.avsc",
            f"{self.results_topic}-value": "avro/transfer-results.avsc",
            f"{self.receipts_topic}-value": "avro/transfer-receipts.avsc",
        }

    def create_topics(self, partitions: int) -> None:
        """Create the topics where they are missing. Raises StackError.

        One that was there may have more partitions, and nothing else that differs.
        """
        copies = self.stack.endpoints.brokers
        asked = [topics.wanted(topic, partitions, copies) for topic in self.topics]
        _, differences = topics.ensure(self.admin(), asked)
        wrong = [str(each) for each in differences if each.setting != topics.PARTITIONS]
        if wrong:
            raise StackError("\n".join(wrong))

    def admin(self) -> AdminClient:
        """Kafka's admin client."""
        servers = self.stack.endpoints.bootstrap_servers
        return AdminClient({"bootstrap.servers": servers, "log_level": 2})

    def conninfo(self, role: str) -> str:
        """How `role` reaches the ledger."""
        return self.stack.conninfo(user=role, dbname=self.dbname)

    def open_accounts(
        self, first: int, count: int, credit_limit: int, currency: str = "EUR"
    ) -> None:
        """Open accounts first..first+count-1; a Bank must be running.

        Raises StackError when one is not opened, and was not there.
        """
        command = ["producers.store", "open-accounts"]
        command += ["--first", str(first), "--count", str(count)]
        command += ["--credit-limit", str(credit_limit), "--currency", currency]
        with self._start("store", command, "accounts", {}) as opening:
            if opening.process.wait(OPENING_SECONDS_MAX) != 0:
                raise StackError(f"accounts are not open: {opening.text.strip()}")

    def environment(self) -> dict[str, str]:
        """The settings of every program, as they document them.

        For all of them: `for_program` takes those of one.
        """
        found = {
            "ONCE_MIGRATOR_CONNINFO": self.conninfo("migrator"),
            "BANK_CONNINFO": self.conninfo("bank"),
            "AUDIT_CONNINFO": self.conninfo("audit"),
            "BANK_GROUP": self.group,
            "AUDIT_GROUP": self.group,
        }
        for program in ("ONCE", "BANK", "STORE", "AUDIT"):
            found[f"{program}_TOPIC"] = self.topic
            found[f"{program}_RESULTS_TOPIC"] = self.results_topic
        for program in ("ONCE", "STORE"):
            found[f"{program}_RECEIPTS_TOPIC"] = self.receipts_topic
        for program in ("ONCE", "BANK", "STORE", "AUDIT", "PEEK"):
            endpoints = self.stack.endpoints
            found[f"{program}_BOOTSTRAP_SERVERS"] = endpoints.bootstrap_servers
            found[f"{program}_REGISTRY_URL"] = endpoints.registry_url
        return found

    def bank(self, instance: str = "0", **settings: object) -> Program:
        """Start a Bank worker; `settings` are BANK_... in small letters."""
        return self._start("bank", ["consumers.bank", "run"], instance, settings)

    def workers(self, count: int) -> Program:
        """Start Bank workers as one command, which starts a killed one again."""
        command = ["consumers.bank", "run", "--workers", str(count)]
        return self._start("bank", command, "0", {})

    def store(
        self,
        *arguments: str,
        instance: str = "0",
        settings: Mapping[str, object] = MappingProxyType({}),
    ) -> Program:
        """Start a Store that emits; `arguments` as on its command line."""
        command = ["producers.store", "emit", *arguments]
        return self._start("store", command, instance, settings)

    def store_api(self, instance: str = "api", **settings: object) -> Program:
        """Start a Store that serves HTTP; by default plain, without tokens.

        `settings` are STORE_... in small letters; see `Program.url`.
        """
        plain = {"demo": True, "port": 0} if "jwks" not in settings else {"port": 0}
        command = ["producers.store", "serve"]
        return self._start("store", command, instance, {**plain, **settings})

    def audit(
        self,
        ack_log: Path | None = None,
        shown: Callable[[str], None] = lambda doing: None,
    ) -> AuditReport:
        """Run the audit here and now."""
        return audit(self.audit_settings(), ack_log, shown)

    def audit_settings(self) -> AuditSettings:
        """Where an audit looks."""
        return AuditSettings.model_validate(
            {
                "bootstrap_servers": self.stack.endpoints.bootstrap_servers,
                "registry_url": self.stack.endpoints.registry_url,
                "conninfo": self.conninfo("audit"),
                "topic": self.topic,
                "results_topic": self.results_topic,
                "group": self.group,
            }
        )

    @property
    def watch(self) -> Watch:
        """How far it is."""
        return Watch(
            conninfo=self.conninfo("audit"),
            bootstrap_servers=self.stack.endpoints.bootstrap_servers,
            topic=self.topic,
            group=self.group,
        )

    def applied(self) -> int:
        """Records applied so far: see Watch."""
        return self.watch.applied()

    def opened(self) -> int:
        """How many of them opened or changed accounts: see Watch."""
        return self.watch.opened()

    def positions(self) -> dict[int, int]:
        """The next offset to apply, by partition: see Watch."""
        return self.watch.positions()

    def published(self) -> dict[int, int]:
        """The group's offsets, by partition: see Watch."""
        return self.watch.published()

    def wait_applied(self, records: int, timeout_seconds: float = 60.0) -> None:
        """Until so many records are applied and published: see Watch."""
        self.watch.wait_applied(records, timeout_seconds)

    def remove(self) -> None:
        """Delete topics and ledger: every partition that is left costs the brokers."""
        admin = self.admin()  # kept until the topics are gone
        for gone in admin.delete_topics(list(self.topics)).values():
            gone.exception(30)  # somebody may have deleted them before
        with self._superuser() as connection:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(self.dbname)))

    def _superuser(self) -> psycopg.Connection:
        conninfo = self.stack.conninfo(user=SUPERUSER, dbname="postgres")
        return psycopg.connect(conninfo, autocommit=True)

    def _start(
        self,
        kind: str,
        command: list[str],
        instance: str,
        settings: Mapping[str, object],
    ) -> Program:
        extra = {
            f"{kind}_{name}".upper(): str(value) for name, value in settings.items()
        }
        unique = f"{self.name or 'main'}-{instance}"
        environment = {
            **self.environment(),
            f"{kind.upper()}_INSTANCE": unique,
            **extra,
        }
        environment = scraped(self.stack, command, environment)
        return Program(command, environment, self.logs / f"{kind}-{unique}.log")


def has_ledger(platform: Platform) -> bool:
    """Whether its ledger is set up; the database alone may be there without one."""
    conninfo = platform.stack.conninfo
    with psycopg.connect(conninfo(user=SUPERUSER, dbname="postgres")) as connection:
        named = "SELECT FROM pg_database WHERE datname = %s"
        if connection.execute(named, (platform.dbname,)).fetchone() is None:
            return False
    ledger = conninfo(user=SUPERUSER, dbname=platform.dbname)
    with psycopg.connect(ledger) as connection:
        row = connection.execute("SELECT to_regclass('transfers')").fetchone()
    return row is not None and row[0] is not None


def platforms(stack: Stack) -> list[str]:
    """The names of those that have a ledger on this stack."""
    superuser = stack.conninfo(user=SUPERUSER, dbname="postgres")
    with psycopg.connect(superuser) as connection:
        found = connection.execute(
            "SELECT substr(datname, 8) FROM pg_database WHERE datname LIKE 'ledger-%'"
        )
        return [name for (name,) in found.fetchall()]
