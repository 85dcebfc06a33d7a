"""Hears the Bank's verdicts on what this process has sent, from the results topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import TopicPartition

from once import kafka, logs
from once.asking import ask
from once.errors import OnceError
from once.published import ID_BYTES, PublishedReader
from once.registry import Registry
from producers.store.settings import AnswerSettings
from producers.store.states import Verdicts

log = logs.get(__name__)

SECONDS_MAX = 15.0
RECORDS_PER_READ = 500


class Answers:
    """Verdicts on ids that are expected before they are sent."""

    def __init__(self, settings: AnswerSettings, registry: Registry) -> None:
        """Raises Retriable while the brokers are away."""
        self._topic = settings.results_topic
        self._reader = PublishedReader(registry)
        self._verdicts = Verdicts()
        self._expected: set[bytes] = set()
        self._heard: dict[bytes, str] = {}  # of those, until they are asked for
        self._consumer = kafka.onlooker(settings.client, "store-follower")
        try:
            ends = {partition: self._end(partition) for partition in self._partitions()}
            places = [TopicPartition(self._topic, p, end) for p, end in ends.items()]
            self._consumer.assign(places)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()

    def expect(self, ids: Iterable[bytes]) -> None:
        """These are sent next."""
        self._expected.update(ids)

    def wait_for(
        self,
        ids: Sequence[bytes],
        seconds: float,
        report: Callable[[int], None] = lambda count: None,
    ) -> list[str]:
        """The verdicts on these ids, as far as there are any after `seconds`.

        A repeat has the verdict on the first one of its id. `report(count)` is told how
        many of these are there. Raises Retriable.
        """
        until = time.monotonic() + seconds
        doing = f"reading {self._topic}"
        while (there := sum(map(self._heard.__contains__, ids))) < len(ids):
            report(there)
            if time.monotonic() > until:
                break
            for message in kafka.read(self._consumer, RECORDS_PER_READ, doing):
                self._take(message.value())
        report(there)
        self._expected.difference_update(ids)
        heard = (self._heard.pop(id_, None) for id_ in ids)
        return [verdict for verdict in heard if verdict is not None]

    def _take(self, value: bytes | None) -> None:
        try:
            said = self._reader.read(value)
        except OnceError:
            raise  # the registry is away
        except Exception as unreadable:  # of any kind: the bytes are a stranger's
            log.error("skipped", topic=self._topic, error=repr(unreadable))
            return
        pairs = zip(said.verdicts.tolist(), said.first_verdicts.tolist(), strict=True)
        for row, (verdict, first) in enumerate(pairs):
            id_ = said.ids[row * ID_BYTES : (row + 1) * ID_BYTES]
            if id_ in self._expected:
                again = self._verdicts.name(verdict) == "EXISTS" and first
                self._heard[id_] = self._verdicts.name(first if again else verdict)

    def _partitions(self) -> list[int]:
        there = ask(
            lambda: self._consumer.list_topics(self._topic, SECONDS_MAX),
            f"asking for the partitions of {self._topic}",
            SECONDS_MAX,
        )
        return sorted(there.topics[self._topic].partitions)

    def _end(self, partition: int) -> int:
        _, end = ask(
            lambda: self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), SECONDS_MAX
            ),
            f"asking where {self._topic}[{partition}] ends",
            SECONDS_MAX,
        )
        return int(end)
