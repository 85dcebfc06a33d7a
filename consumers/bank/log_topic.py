"""The topic that is applied: fit for it, and still the one that it was."""

from __future__ import annotations

import time

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from consumers.bank.observe import Observer
from consumers.bank.settings import BankSettings
from once.doctor.kafka import Role, require_fit
from once.errors import Retriable

TIMEOUT_SECONDS = 10.0
CHECK_SECONDS = 30.0


class LogTopic:
    """The log: `topic_id`, which it keeps for life, and how many `partitions`."""

    def __init__(
        self, admin: AdminClient, settings: BankSettings, observer: Observer
    ) -> None:
        """Whether the topics can keep what is promised. Raises OnceError."""
        self._admin = admin
        self._topic = settings.topic
        self._trouble = observer.trouble
        roles = {settings.topic: Role.LOG, settings.results_topic: Role.RESULTS}
        findings = require_fit(admin, roles, observer.trouble)
        observer.warn(map(str, findings))
        self.topic_id, self.partitions = self._describe()
        self._checked_at = time.monotonic()

    def check(self) -> None:
        """Look now and then. Raises Retriable when it is another one now."""
        if time.monotonic() - self._checked_at < CHECK_SECONDS:
            return
        self._checked_at = time.monotonic()
        topic_id, _ = self._describe()
        if topic_id != self.topic_id:
            raise Retriable(f"topic {self._topic} is another one now")

    def _describe(self) -> tuple[str, int]:
        try:
            described = self._admin.describe_topics(
                TopicCollection([self._topic]), request_timeout=TIMEOUT_SECONDS
            )
            found = described[self._topic].result()
            return str(found.topic_id), len(found.partitions)
        except KafkaException as error:
            self._admin.poll(0)  # serves what is said of the connection
            raise Retriable(
                f"topic {self._topic} cannot be described: {error}{self._trouble}"
            ) from error
