"""A transactional producer that is closed and made again whenever in doubt.

librdkafka speaks the older transaction protocol (without KIP-890): after a call whose
outcome is unknown, its later calls cannot be trusted either. So any doubt ends the
incarnation: `recycle` closes it and makes a new one with the same transactional id,
whose `init_transactions` aborts what the old one left open.

One call, one Kafka transaction; the cost is per transaction, not per record.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition

from once import kafka, logs
from once.errors import Abortable, Fenced, Indeterminate, OnceError, Retriable, Rival
from once.kafka import from_kafka
from once.renewal import Renewal
from once.watchdog import Within, unwatched

log = logs.get(__name__)

TRANSACTION_TIMEOUT_MS = 10_000  # an open transaction blocks every committed reader
INIT_TIMEOUT_SECONDS = 30.0
COMMIT_TIMEOUT_SECONDS = 15.0
# Some calls ignore their timeout (confluentinc/librdkafka#5456: the coordinator's
# broker died). What has not come back after so long never will.
SEND_SECONDS_MAX = 2 * COMMIT_TIMEOUT_SECONDS + 5
INIT_SECONDS_MAX = INIT_TIMEOUT_SECONDS + 15
CLOSE_SECONDS_MAX = 20.0

Headers = Sequence[tuple[str, str | bytes | None]]
Record = dict[str, Any]  # as Producer.produce_batch takes it: key and value
ANY = -1  # any partition: the partitioner chooses
Group = tuple[Sequence[TopicPartition], Any]  # offsets and consumer group metadata


def _random() -> bytes:
    return uuid.uuid4().bytes


class TransactionalProducer:
    """Sends batches of records, each batch in one Kafka transaction."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        transactional_id: str,
        *,
        name: str = "",
        make_incarnation: Callable[[], bytes] = _random,
        within: Within = unwatched,
        trouble: kafka.Trouble | None = None,
    ) -> None:
        """`transactional_id` is stable per instance: a random one fences nobody.

        `make_incarnation` gives each incarnation its UUID, never the same one twice.
        `within` ends the process when a call does not come back (watchdog.py).
        """
        self._settings: dict[str, str | int | float | bool] = {
            "linger.ms": 5,
            "compression.type": "lz4",
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
            **settings,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "enable.idempotence": True,
        }
        self.transactional_id = transactional_id
        self.name = name or transactional_id
        self.recycles = -1
        self._make_incarnation = make_incarnation
        self._within = within
        self._trouble = trouble or kafka.Trouble()
        self._producer: Producer | None = None
        self._renewal = Renewal(settings)
        self.incarnation = b""

    def recycle(self) -> None:
        """A new incarnation: what the old one left open is aborted.

        Raises Retriable when the brokers cannot be reached; call it again then. Raises
        Defect when the settings are wrong.
        """
        self.close()
        self._renewal.taken()
        producer = kafka.client(Producer, self._settings, self._trouble)
        try:
            with self._within(INIT_SECONDS_MAX, "starting transactions"):
                producer.init_transactions(INIT_TIMEOUT_SECONDS)
        except KafkaException as error:
            producer.poll(0)  # serves what is said of the connection
            self._discard(producer)
            doing = f"starting transactions{self._trouble}"
            raise _as_retriable(error, doing) from error
        self._producer = producer
        self.incarnation = self._make_incarnation()
        self.recycles += 1

    def close(self) -> None:
        """Drop the incarnation and what it has not sent."""
        producer, self._producer = self._producer, None
        self.incarnation = b""
        if producer is not None:
            self._discard(producer)

    def _discard(self, producer: Producer) -> None:
        with self._within(CLOSE_SECONDS_MAX, "closing a producer"):
            _discard(producer)

    @property
    def usable(self) -> bool:
        """Whether there is an incarnation to send with."""
        return self._producer is not None

    def outdated(self) -> bool:
        """Whether the keys that it was made with have been replaced: recycle it."""
        return self._renewal.due()

    def send(
        self,
        topic: str,
        records: Mapping[int, Sequence[Record]],
        headers: Mapping[int, Mapping[int, Headers]] = MappingProxyType({}),
        group: Group | None = None,
        also: Mapping[str, Sequence[Record]] = MappingProxyType({}),
    ) -> None:
        """Send all records, and the group's offsets, in one transaction.

        `records` are by partition, in order (ANY: the partitioner chooses by key);
        `headers` by partition and index of the few records that have any; `also` are
        records of other topics, in any partition.

        Returns when it is committed. Raises Abortable when the transaction was aborted
        (the incarnation lives on, the same call may be made again); Indeterminate,
        Fenced or Defect end the incarnation: recycle it.
        """
        producer = self._producer
        assert producer is not None, "recycle() comes before send()"
        began = time.monotonic()
        try:
            producer.begin_transaction()
            for partition, mine in records.items():
                _produce(producer, topic, partition, mine, headers.get(partition, {}))
            for other, theirs in also.items():
                _produce_run(producer, other, ANY, theirs)
            with self._within(SEND_SECONDS_MAX, "committing a Kafka transaction"):
                if group is not None:
                    producer.send_offsets_to_transaction(
                        list(group[0]), group[1], COMMIT_TIMEOUT_SECONDS
                    )
                producer.commit_transaction(COMMIT_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise self._failed(producer, error, time.monotonic() - began) from error

    def _failed(
        self, producer: Producer, raised: KafkaException, seconds: float
    ) -> OnceError:
        error = from_kafka(raised, f"sending as {self.transactional_id}")
        if isinstance(error, Rival) and seconds * 1000 > 0.9 * TRANSACTION_TIMEOUT_MS:
            # The broker gives up on a transaction that is too old in the same words.
            error = Fenced(f"{error} (after {seconds:.1f} s: it took too long)")
        if isinstance(error, Abortable):
            try:
                with self._within(SEND_SECONDS_MAX, "aborting a Kafka transaction"):
                    producer.abort_transaction(COMMIT_TIMEOUT_SECONDS)
                return error
            except KafkaException as again:
                error = Indeterminate(f"aborting after {error}: {again}")
        log.info("producer ends its incarnation", producer=self.name, error=str(error))
        self.close()
        return error


def in_turn(
    settings: Mapping[str, Any],
    name: str,
    *,
    make_incarnation: Callable[[], bytes] = _random,
    within: Within = unwatched,
    trouble: kafka.Trouble | None = None,
) -> list[TransactionalProducer]:
    """Two of them: while the brokers end one's transaction, the other one begins.

    `name` is what their transactional ids begin with; the rest is as above.
    """
    return [
        TransactionalProducer(
            settings,
            f"{name}{turn}",
            make_incarnation=make_incarnation,
            within=within,
            trouble=trouble,
        )
        for turn in range(2)
    ]


def _produce(
    producer: Producer,
    topic: str,
    partition: int,
    records: Sequence[Record],
    headers: Mapping[int, Headers],
) -> None:
    """Queue all records in order; runs without headers go in one call each."""
    start = 0
    for row in sorted(headers):
        _produce_run(producer, topic, partition, records[start:row])
        producer.produce(
            topic, **records[row], partition=partition, headers=list(headers[row])
        )
        start = row + 1
    _produce_run(producer, topic, partition, records[start:])


def _produce_run(
    producer: Producer, topic: str, partition: int, records: Sequence[Record]
) -> None:
    if not records:
        return
    run = list(records)
    # A partition inside a record is ignored by this call; as its argument it is not.
    if producer.produce_batch(topic, run, partition) != len(run):
        raise KafkaException(next(r["_error"] for r in run if "_error" in r))


def _discard(producer: Producer) -> None:
    # Purged first: closing would otherwise wait for what a dead broker cannot take.
    try:
        producer.purge(in_queue=True, in_flight=True, blocking=False)
        producer.poll(0)
        producer.close()
    except (KafkaException, SystemError) as error:
        # One that ended fatally raises here again (the binding: as a SystemError). The
        # next incarnation's init_transactions aborts what it left open.
        log.info("producer did not close cleanly", error=str(error))


def _as_retriable(raised: KafkaException, doing: str) -> OnceError:
    error = from_kafka(raised, doing)
    if isinstance(error, Fenced | Retriable):
        return error
    if raised.args[0].retriable() or not raised.args[0].fatal():
        return Retriable(str(error))
    return error
