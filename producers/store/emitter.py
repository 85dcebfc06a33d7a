"""Emits chunks of records, each in one Kafka transaction, until it is acknowledged.

Acknowledged = the Kafka transaction committed. After any doubt the producer is recycled
and the same ids are sent again: duplicates on the topic are legal, in the ledger they
are not. Every record carries the producer's incarnation (`emitter`) and its number per
partition, without gaps, so that the Bank notices what Kafka's protocol would hide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.trace import Span

from once import logs, names, resources
from once.backoff import pauses, retry
from once.columns import ColumnWriter
from once.errors import Abortable, Fenced, Indeterminate, Refused, Retriable
from once.metrics import EmitMetrics
from once.producer import TRANSACTION_TIMEOUT_MS, Record, TransactionalProducer
from once.registry import Registry, frame, load_schema
from once.telemetry import Telemetry
from once.tracing import end_all, inject, send_span
from producers.store.account_changes import ChangeChunk, ChangeWriter
from producers.store.places import Places
from producers.store.receipts import ClientReceipts, ReceiptsCodec
from producers.store.transfers import Chunk

log = logs.get(__name__)

# More often than this, and another living Store has our name: recycling would only
# throw the two out of each other's way for ever.
FENCES_MAX, FENCES_SECONDS = 4, 60.0
# A span costs as much as ten transfers, here and in the Bank: at full speed one percent
# of them would take a fifth of the CPU.
SPANS_PER_CHUNK_MAX = 4

Records = dict[int, list[Record]]  # by partition
Headers = dict[int, dict[int, list[Any]]]  # by partition and index


class Emitter:
    """Sends chunks through one transactional producer. Not thread-safe."""

    def __init__(
        self,
        producer: TransactionalProducer,
        topic: str,
        *,
        places: Places,
        registry: Registry,
        telemetry: Telemetry,
        pause: Callable[[float], None] = time.sleep,
        receipts: ReceiptsCodec | None = None,
        fences: list[float] | None = None,
    ) -> None:
        """`fences`: when those that take turns were fenced, together.

        Raises Retriable (registry away) and Defect (schema not registered).
        """
        self._receipts = receipts
        self._registry = registry
        self._changes: ChangeWriter | None = None  # made when the first one is sent
        schema = load_schema(resources.find("avro/transfer.avsc"))
        self._writer = ColumnWriter(
            schema, frame(registry.id_of(f"{topic}-value", schema))
        )
        self.producer = producer
        self._topic = topic
        self._partition_count = places.partition_count
        self._places = places
        self._sequences = [0] * places.partition_count
        self._telemetry = telemetry
        self._pause = pause
        # When, by the monotonic clock.
        self._fences: list[float] = [] if fences is None else fences
        self.metrics = EmitMetrics(telemetry.meter, topic)

    @property
    def incarnation(self) -> bytes:
        """The emitter of what was acknowledged last."""
        return self.producer.incarnation

    def start(self) -> None:
        """Wait until Kafka can be written to."""
        if not self.producer.usable:
            self._recycle()

    def refresh(self) -> None:
        """Take new keys, if there are any: not within a transaction."""
        if self.producer.outdated():
            self._recycle()

    def emit(
        self, chunk: Chunk | ChangeChunk, receipts: Sequence[ClientReceipts] = ()
    ) -> None:
        """Send the whole chunk, its receipts with it, until it is acknowledged.

        Raises Refused when another Store uses our transactional id, Defect for a
        mistake of the deployment, Retriable when the registry is away and was not asked
        before. Every other trouble is waited out.
        """
        self.refresh()
        delays = pauses()
        spans = self._sampled(chunk)
        headers = self._headers(chunk, spans)
        records: Records | None = None
        while True:
            if not self.producer.usable:
                self._recycle()
                records = None  # the new incarnation numbers anew
            if records is None:
                records, sequences = self._encode(chunk)
                also = self._receipted(receipts)
            began = time.monotonic()
            outcome = names.ABORTED
            try:
                self.producer.send(self._topic, records, headers, also=also)
                outcome = names.COMMITTED
                self._sequences = sequences
                end_all(list(spans.values()))
                return
            except Abortable as error:
                log.warning("transaction aborted, sending it again", error=str(error))
            except (Indeterminate, Retriable) as error:
                outcome = names.OUTCOME_INDETERMINATE
                log.warning("outcome unknown, sending again", error=str(error))
            except Fenced as error:
                self._note_fence(error, time.monotonic() - began)
            finally:
                seconds = time.monotonic() - began
                self.metrics.transaction(outcome, len(chunk), seconds)
            self._pause(next(delays))

    def _note_fence(self, error: Fenced, took_seconds: float) -> None:
        """Often is a rival; after so long, the brokers' timeout. Raises Refused.

        What outlives the timeout is aborted by the brokers, and its producer fenced: a
        frozen machine or slow brokers do that again and again.
        """
        log.warning(
            "fenced, sending again", error=str(error), seconds=round(took_seconds, 1)
        )
        if took_seconds * 1000 >= TRANSACTION_TIMEOUT_MS:
            return
        now = time.monotonic()
        recent = [at for at in self._fences if now - at < FENCES_SECONDS]
        self._fences[:] = [*recent, now]
        if len(self._fences) > FENCES_MAX:
            raise Refused(
                f"another Store sends as {self.producer.transactional_id}; "
                f"give each its own STORE_INSTANCE ({error}); "
                "see docs/runbooks/store-not-ready.md"
            ) from error

    def _recycle(self) -> None:
        retry(
            self.producer.recycle,
            lambda seconds, why: self._pause(seconds),
            on=(Retriable, Fenced),
        )
        self._sequences = [0] * self._partition_count
        if self.producer.recycles:
            self.metrics.recycle()

    def _encode(self, chunk: Chunk | ChangeChunk) -> tuple[Records, list[int]]:
        """A chunk's records by partition, and the sequence numbers due after them."""
        due = self._sequences.copy()
        numbers: list[int] = []
        places: list[tuple[bytes, int]] = []
        known = self._places.known
        for account in chunk.accounts:
            place = known.get(account) or self._places.of(account)
            partition = place[1]
            places.append(place)
            numbers.append(due[partition])
            due[partition] += 1
        values = self._values(chunk, numbers)
        records: Records = {p: [] for p in range(self._partition_count)}
        for (key, partition), value in zip(places, values, strict=True):
            records[partition].append({"key": key, "value": value})
        return records, due

    def _values(self, chunk: Chunk | ChangeChunk, numbers: list[int]) -> list[bytes]:
        if isinstance(chunk, ChangeChunk):
            if self._changes is None:
                self._changes = ChangeWriter(self._registry, self._topic)
            return self._changes.write(chunk, self.producer.incarnation, numbers)
        return self._writer.write(
            {
                "transfer_id": chunk.transfer_ids,
                "debit_account": chunk.debit_accounts,
                "credit_account": chunk.credit_accounts,
                "amount": chunk.amounts,
                "currency": chunk.currencies,
                "memo": chunk.memos,
                "created_at_ms": chunk.created_at_ms,
                "emitter": [self.producer.incarnation] * len(chunk),
                "emitter_sequence": numbers,
            }
        )

    def _receipted(self, receipts: Sequence[ClientReceipts]) -> dict[str, list[Record]]:
        """The receipts' records, by topic."""
        if self._receipts is None or not receipts:
            return {}
        records = self._receipts.encode(self.producer.incarnation, receipts)
        return {self._receipts.topic: records}

    def _sampled(self, chunk: Chunk | ChangeChunk) -> dict[int, Span]:
        """Spans of the sampled transfers, by row of the chunk."""
        if not self._telemetry.traces_enabled:
            return {}
        tracer = self._telemetry.tracer
        accounts = chunk.accounts
        picked = self._telemetry.sampler.pick(len(chunk))
        stride = -(-len(picked) // SPANS_PER_CHUNK_MAX) or 1
        return {
            row: send_span(tracer, self._topic, self._places.of(accounts[row])[1])
            for row in picked[::stride]
        }

    def _headers(self, chunk: Chunk | ChangeChunk, spans: dict[int, Span]) -> Headers:
        """The spans' headers, by partition and index in it."""
        headers: Headers = {}
        if not spans:
            return headers
        counts = [0] * self._partition_count
        for row, account in enumerate(chunk.accounts):
            partition = self._places.of(account)[1]
            if row in spans:
                indexed = headers.setdefault(partition, {})
                indexed[counts[partition]] = inject(spans[row])
            counts[partition] += 1
        return headers
