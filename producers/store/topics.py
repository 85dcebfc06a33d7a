"""What the brokers say of a topic. It is never made by asking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from once.errors import Defect, Retriable
from once.kafka import Trouble, client, from_kafka

REQUEST_SECONDS = 10.0


class Topic(NamedTuple):
    """A topic as it is now; one that is made anew has another id."""

    name: str
    id: str
    partition_count: int


class Topics:
    """Asks about topics, through one client."""

    def __init__(self, kafka: Mapping[str, str], trouble: Trouble) -> None:
        """Raises Defect for a setting that is wrong."""
        self._trouble = trouble
        self._admin = client(AdminClient, kafka, trouble)

    def describe(self, name: str) -> Topic:
        """The topic of this name. Raises Retriable (away), Defect (none for us)."""
        try:
            asked = self._admin.describe_topics(
                TopicCollection([name]), request_timeout=REQUEST_SECONDS
            )
            description = asked[name].result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Defect(
                    f"topic {name} does not exist; create it: make set-up"
                ) from None
            known = from_kafka(error, f"describing topic {name}")
            if isinstance(known, Defect):
                raise known from error
            self._admin.poll(0)  # else what was said of the connection is not heard
            raise Retriable(f"{known}{self._trouble}") from error
        return Topic(name, str(description.topic_id), len(description.partitions))
