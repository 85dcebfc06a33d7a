"""What an administrator can do to topics and groups, well meant or not.

The client is kept until its answer is there: without one, the answer never comes.
"""

from __future__ import annotations

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    TopicPartition,
)
from confluent_kafka.cimpl import NewTopic

from local.platform import Platform
from local.processes.waiting import wait_until

SECONDS = 30.0


def set_group_offsets(platform: Platform, offsets: dict[int, int]) -> None:
    """Say that results are published up to these offsets. The group must be empty."""
    admin = platform.admin()
    wanted = [
        TopicPartition(platform.topic, p, offset) for p, offset in offsets.items()
    ]
    asked = [ConsumerGroupTopicPartitions(platform.group, wanted)]
    for done in admin.alter_consumer_group_offsets(asked).values():
        done.result(SECONDS)


def delete_group(platform: Platform) -> None:
    """Remove the group with all its offsets. It must be empty."""
    admin = platform.admin()
    for done in admin.delete_consumer_groups([platform.group]).values():
        done.result(SECONDS)


def delete_records(platform: Platform, partition: int, before: int) -> None:
    """Remove the records below an offset, as retention does."""
    admin = platform.admin()
    asked = [TopicPartition(platform.topic, partition, before)]
    for done in admin.delete_records(asked).values():
        done.result(SECONDS)


def delete_topics(platform: Platform, *topics: str) -> None:
    """Remove topics with all that is in them."""
    admin = platform.admin()
    for done in admin.delete_topics(list(topics)).values():
        done.result(SECONDS)


def create_topic(platform: Platform, topic: str, partitions: int) -> None:
    """Create a topic, also one whose name is still being deleted."""
    admin = platform.admin()
    wanted = NewTopic(topic, partitions, platform.stack.endpoints.brokers)

    def created() -> bool:
        error = admin.create_topics([wanted])[topic].exception(SECONDS)
        if error is None:
            return True
        assert error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS, error
        return False

    wait_until(created, what=f"topic {topic}", timeout_seconds=SECONDS)


def group_coordinator(platform: Platform) -> int:
    """The id of the broker that keeps the offsets of the Bank's group."""
    admin = platform.admin()
    (described,) = admin.describe_consumer_groups([platform.group]).values()
    return int(described.result(SECONDS).coordinator.id)


def group_members(platform: Platform) -> set[str]:
    """The ids of the members of the Bank's group: a new one after each joining."""
    admin = platform.admin()
    (described,) = admin.describe_consumer_groups([platform.group]).values()
    return {member.member_id for member in described.result(SECONDS).members}
