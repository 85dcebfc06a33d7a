"""Topics that records of value go through: how they must be, made so, or compared.

What Kafka allows by default is not enough: a topic that some client made by asking for
it has one replica; compaction removes records; retention by the time that a producer
wrote into its records can remove one before anybody has read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from once.errors import Defect, OnceError, Retriable
from once.kafka import Trouble, passes

TIMEOUT_SECONDS = 10.0

PARTITIONS = "the number of partitions"
REPLICATION = "the replication factor"
MIN_ISR = "min.insync.replicas"
POLICY = "cleanup.policy"
TIMESTAMPS = "message.timestamp.type"
BATCH_BYTES = "max.message.bytes"  # of a batch, whatever Kafka calls it

# The producer's own limit is 1,000,000 bytes, and a little for what is around them.
BATCH_BYTES_MIN = 1_048_576

# Retention counts from when the broker had the record, not from what a producer says;
# and no record is removed because a later one has its key.
FIXED = {POLICY: "delete", TIMESTAMPS: "LogAppendTime"}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is, or as it is to be."""

    name: str
    partitions: int
    replication: int  # of the partition with the fewest replicas
    config: Mapping[str, str] | None  # None: we have no right to see it


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a topic is not as it must be."""

    topic: str
    setting: str
    found: str
    wanted: str
    cure: str

    def __str__(self) -> str:
        return (
            f"topic {self.topic}: {self.setting} is {self.found}, not {self.wanted}; "
            f"{self.cure}"
        )


def wanted(name: str, partitions: int, replication: int) -> Topic:
    """A topic as it must be: one replica may be away while records are accepted."""
    config = {**FIXED, MIN_ISR: str(max(1, replication - 1))}
    return Topic(name, partitions, replication, config)


def look(
    admin: AdminClient, names: Iterable[str], trouble: Trouble | None = None
) -> dict[str, Topic]:
    """The topics that are there; it never creates one.

    Raises Retriable (brokers away) and Defect (not allowed).
    """
    found: dict[str, Topic] = {}
    asked = TopicCollection(list(names))
    answers = admin.describe_topics(asked, request_timeout=TIMEOUT_SECONDS)
    for name, answer in answers.items():
        try:
            described = answer.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise raised(error, f"looking at topic {name}", admin, trouble) from error
        copies = [len(each.replicas) for each in described.partitions]
        config = config_of(admin, ConfigResource(ResourceType.TOPIC, name), trouble)
        found[name] = Topic(name, len(copies), min(copies), config)
    return found


def config_of(
    admin: AdminClient, resource: ConfigResource, trouble: Trouble | None = None
) -> dict[str, str] | None:
    """What is in force for a topic or a broker; None: not ours to see.

    Raises Retriable (brokers away) and Defect.
    """
    (answer,) = admin.describe_configs(
        [resource], request_timeout=TIMEOUT_SECONDS
    ).values()
    try:
        entries = answer.result()
    except KafkaException as error:
        if error.args[0].code() in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        ):
            return None
        doing = f"looking at the settings of {resource.name}"
        raise raised(error, doing, admin, trouble) from error
    return {name: str(entry.value) for name, entry in entries.items()}


def ensure(
    admin: AdminClient, topics: Iterable[Topic], trouble: Trouble | None = None
) -> tuple[list[str], list[Difference]]:
    """Create what is missing: the names made, and what differs in the others.

    Raises Retriable (brokers away) and Defect (not allowed, or not possible).
    """
    asked = {topic.name: topic for topic in topics}
    made = []
    news = [
        NewTopic(
            each.name, each.partitions, each.replication, config=dict(each.config or {})
        )
        for each in asked.values()
    ]
    answers = admin.create_topics(news, request_timeout=TIMEOUT_SECONDS)
    for name, answer in answers.items():
        try:
            answer.result()
            made.append(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise raised(error, f"creating topic {name}", admin, trouble) from error
    there = look(admin, asked.keys() - set(made), trouble)
    return made, [
        difference
        for name in asked
        if name in there
        for difference in differences(there[name], asked[name])
    ]


def differences(found: Topic, asked: Topic) -> Iterator[Difference]:
    """In what a topic that is there is not what was asked for."""
    name = found.name
    if found.partitions != asked.partitions:
        more = "more partitions are added as docs/scaling.md says"
        cure = f"ask for {found.partitions}: partitions cannot be taken away"
        yield Difference(
            name,
            PARTITIONS,
            str(found.partitions),
            str(asked.partitions),
            more if found.partitions < asked.partitions else cure,
        )
    if found.replication != asked.replication:
        yield Difference(
            name,
            REPLICATION,
            str(found.replication),
            str(asked.replication),
            f"give each partition {asked.replication} brokers: "
            "kafka-reassign-partitions --execute",
        )
    yield from config_differences(found, asked.config or {})


def config_differences(found: Topic, asked: Mapping[str, str]) -> Iterator[Difference]:
    """In what a topic's settings in force are not these, or too small for a batch."""
    if found.config is None:
        cure = "allow DescribeConfigs on the topic"
        yield Difference(found.name, "what is set", "hidden", "visible", cure)
        return
    for setting, value in asked.items():
        if found.config.get(setting) != value:
            seen = found.config.get(setting, "not set")
            yield Difference(
                found.name, setting, seen, value, alter(found.name, setting, value)
            )
    limit = found.config.get(BATCH_BYTES, "0")
    if int(limit) < BATCH_BYTES_MIN:
        least = str(BATCH_BYTES_MIN)
        cure = alter(found.name, BATCH_BYTES, least)
        yield Difference(found.name, BATCH_BYTES, limit, f"{least} or more", cure)


def alter(topic: str, setting: str, value: str) -> str:
    """The command that sets it, without the brokers' address."""
    return (
        f"kafka-configs --alter --entity-type topics --entity-name {topic} "
        f"--add-config {setting}={value}"
    )


def raised(
    error: KafkaException, doing: str, admin: AdminClient, trouble: Trouble | None
) -> OnceError:
    """What an administrative call that failed means, with what is known of its cause.

    Such a call that timed out may be made again: all of ours change nothing when they
    are repeated.
    """
    admin.poll(0)  # what became of the connections is told to `trouble` in here only
    cause: KafkaError = error.args[0]
    kind = Retriable if passes(cause) else Defect
    return kind(f"while {doing}: {cause.str()}{trouble or ''}")
