"""Whether brokers and topics can keep what is promised.

Programs call `require_fit` with their own topics when they start; `check_kafka` is the
whole of it, for `python -m once doctor`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from once import topics
from once.doctor.report import Finding, Level, good, guarded, require
from once.errors import Retriable
from once.kafka import Trouble
from once.topics import Topic, alter

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RETENTION = "retention.ms"
MISSING = "missing"
UNCLEAN = "unclean.leader.election.enable"

# Our own transactions end or time out within 10 s; an open one stops every reader.
TRANSACTION_MS_MIN, TRANSACTION_MS_MAX = 10_000, 60_000

OFFSETS_MINUTES_MIN = 7 * 24 * 60  # Kafka's default; a group may rest over holidays

# Kafka's own: which transactions are open, and how far each group has come.
INTERNAL = ("__transaction_state", "__consumer_offsets")


class Role(StrEnum):
    """What a topic is for."""

    LOG = "log"  # what is to be applied
    RESULTS = "results"  # what became of it
    RECEIPTS = "receipts"  # who sent it


# How long records are needed: an outage over some holidays; the audit, which asks for
# results of everything in the log (see `_kept`); a Store that fills its index anew.
_KEPT_MS_MIN = {Role.LOG: 7 * DAY_MS, Role.RESULTS: DAY_MS, Role.RECEIPTS: DAY_MS}


def require_fit(
    admin: AdminClient, roles: Mapping[str, Role], trouble: Trouble | None = None
) -> list[Finding]:
    """The warnings about a program's topics; with worse it must not start.

    Raises Refused (what is acknowledged could be lost), Defect (not allowed, or nothing
    could be sent) and Retriable: brokers are away, or a topic is not there, which a
    broker that has just started says, too.
    """
    found = unfit_topics(admin, roles, trouble)
    missing = [str(each) for each in found if each.found == MISSING]
    if missing:
        raise Retriable("; ".join(missing))
    return require(found)


def unfit_topics(
    admin: AdminClient, roles: Mapping[str, Role], trouble: Trouble | None = None
) -> list[Finding]:
    """What is wrong with these topics, by name; nothing when all are fit.

    Without the right to see a topic's settings that is a warning. Raises Retriable
    (brokers away) and Defect (not allowed).
    """
    brokers = len(_brokers(admin, trouble))
    return [
        finding
        for finding in _check_topics(admin, roles, brokers, trouble)
        if finding.level is not Level.GOOD
    ]


def check_kafka(
    admin: AdminClient, roles: Mapping[str, Role], trouble: Trouble | None = None
) -> Iterator[Finding]:
    """All about brokers and topics, good or not. Raises as `unfit_topics`."""
    brokers = _brokers(admin, trouble)
    for number in brokers:
        check = f"broker {number}"
        yield from guarded(check, _check_broker(admin, number, trouble))
    yield from guarded("topics", _check_topics(admin, roles, len(brokers), trouble))
    yield from guarded("Kafka's own topics", _internal(admin, len(brokers), trouble))


def _brokers(admin: AdminClient, trouble: Trouble | None) -> list[int]:
    try:
        asked = admin.describe_cluster(request_timeout=topics.TIMEOUT_SECONDS)
        return sorted(node.id for node in asked.result().nodes)
    except KafkaException as error:
        raise topics.raised(error, "asking for brokers", admin, trouble) from error


def _check_broker(
    admin: AdminClient, number: int, trouble: Trouble | None
) -> Iterator[Finding]:
    check = f"broker {number}"
    resource = ConfigResource(ResourceType.BROKER, str(number))
    config = topics.config_of(admin, resource, trouble)
    if config is None:
        cure = "allow DescribeConfigs on the cluster"
        yield Finding(check, Level.WARNING, "settings hidden", "settings visible", cure)
        return
    found = list(_offsets_kept(check, config))
    if config.get("auto.create.topics.enable") == "true":
        found.append(
            Finding(
                f"{check}: auto.create.topics.enable",
                Level.WARNING,
                "true",
                "false",
                "set it on every broker: a name that is asked for becomes a topic",
            )
        )
    limit = int(config.get("transaction.max.timeout.ms", "0"))
    if not TRANSACTION_MS_MIN <= limit <= TRANSACTION_MS_MAX:
        found.append(
            Finding(
                f"{check}: transaction.max.timeout.ms",
                Level.DEFECT if limit < TRANSACTION_MS_MIN else Level.WARNING,
                f"{limit}",
                f"{TRANSACTION_MS_MIN} to {TRANSACTION_MS_MAX}",
                "set it on every broker: an open transaction stops every reader",
            )
        )
    yield from found or [good(check, "creates no topics, ends open transactions")]


def _offsets_kept(check: str, config: Mapping[str, str]) -> Iterator[Finding]:
    minutes = int(config.get("offsets.retention.minutes", "0"))
    if minutes < OFFSETS_MINUTES_MIN:
        yield Finding(
            f"{check}: offsets.retention.minutes",
            Level.WARNING,
            str(minutes),
            f"{OFFSETS_MINUTES_MIN} or more",
            "set it on every broker: a group that rests for longer loses its place",
        )


def _check_topics(
    admin: AdminClient,
    roles: Mapping[str, Role],
    brokers: int,
    trouble: Trouble | None,
) -> Iterator[Finding]:
    there = topics.look(admin, roles, trouble)
    logs = [there[n] for n in there if roles[n] is Role.LOG]
    log_ms = max(map(_retention_ms, logs), default=0.0)
    for name, role in roles.items():
        check = f"topic {name}"
        if name not in there:
            cure = f"python -m once topics {name}=PARTITIONS"
            yield Finding(check, Level.DEFECT, MISSING, "there", cure)
            continue
        topic = there[name]
        found = [*_copies(topic, brokers), *_settings(topic)]
        if topic.config is not None:
            found += _kept(topic, role, log_ms)
        yield from found or [good(check, _summary(topic))]


def _internal(
    admin: AdminClient, brokers: int, trouble: Trouble | None
) -> Iterator[Finding]:
    """Kafka makes them at their first use: that one is missing is no finding."""
    for topic in topics.look(admin, INTERNAL, trouble).values():
        found = list(_copies(topic, brokers))
        yield from found or [good(f"topic {topic.name}", _summary(topic))]


def _copies(topic: Topic, brokers: int) -> Iterator[Finding]:
    """Whether a record that was acknowledged is in more than one place."""
    check = f"topic {topic.name}: replicas"
    copies = topic.replication
    if copies == 1:
        level = Level.WARNING if brokers == 1 else Level.REFUSED
        cure = "start three brokers" if brokers < 3 else "reassign its partitions"
        yield Finding(check, level, "1", "3", cure)
        return
    if topic.config is None:
        return
    in_sync = int(topic.config.get(topics.MIN_ISR, "1"))
    check = f"topic {topic.name}: {topics.MIN_ISR}"
    cure = alter(topic.name, topics.MIN_ISR, str(copies - 1 if copies > 2 else 2))
    wanted = "2" if copies == 2 else f"2 to {copies - 1}"
    if in_sync < 2:
        yield Finding(check, Level.REFUSED, str(in_sync), wanted, cure)
    elif in_sync > copies:
        found = f"{in_sync} of {copies} replicas"
        yield Finding(check, Level.DEFECT, found, wanted, cure)
    elif in_sync == copies:
        found = f"{in_sync} of {copies} replicas: one broker away stops writes"
        yield Finding(check, Level.WARNING, found, "a replica to spare", cure)


def _settings(topic: Topic) -> Iterator[Finding]:
    """How a topic of ours must be set, whatever it is for."""
    levels = {topics.TIMESTAMPS: Level.WARNING, topics.BATCH_BYTES: Level.DEFECT}
    wanted = {**topics.FIXED, UNCLEAN: "false"}
    for each in topics.config_differences(topic, wanted):
        hidden = topic.config is None
        level = Level.WARNING if hidden else levels.get(each.setting, Level.REFUSED)
        check = f"topic {topic.name}: {each.setting}"
        yield Finding(check, level, each.found, each.wanted, each.cure)


def _kept(topic: Topic, role: Role, log_ms: float) -> Iterator[Finding]:
    """Whether records are there as long as somebody needs them."""
    kept_ms = _retention_ms(topic)
    needed_ms = max(_KEPT_MS_MIN[role], log_ms if role is Role.RESULTS else 0)
    if kept_ms < needed_ms:
        needed = "-1" if needed_ms == float("inf") else f"{needed_ms:.0f}"
        yield Finding(
            f"topic {topic.name}: {RETENTION}",
            Level.WARNING,
            f"{kept_ms:.0f}",
            f"{needed} or more",
            alter(topic.name, RETENTION, needed),
        )
    assert topic.config is not None
    size = topic.config.get("retention.bytes", "-1")
    if size != "-1":
        yield Finding(
            f"topic {topic.name}: retention.bytes",
            Level.WARNING,
            f"{size}: much traffic deletes what is needed",
            "-1",
            alter(topic.name, "retention.bytes", "-1"),
        )


def _retention_ms(topic: Topic) -> float:
    """How long records are kept: infinite for -1, nothing where we may not see it."""
    kept_ms = float((topic.config or {}).get(RETENTION, "0"))
    return float("inf") if kept_ms < 0 else kept_ms


def _summary(topic: Topic) -> str:
    return (
        f"{topic.partitions} partitions, {topic.replication} replicas, "
        f"min ISR {(topic.config or {}).get(topics.MIN_ISR, 'hidden')}"
    )
