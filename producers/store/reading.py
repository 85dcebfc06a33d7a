"""What records of receipts and results say, whatever else lies between them.

Anybody may write to a topic, and press "delete" in a tool. A record that cannot be read
is skipped, with a line in the log; it stops nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from confluent_kafka import KafkaError

from once import logs
from once.errors import OnceError
from once.published import Numbers, PublishedReader
from once.reader import AvroReader
from once.registry import Registry
from producers.store.facts import Decided, Facts
from producers.store.receipts import ClientReceipts, receipts_in, writes_receipts
from producers.store.states import Verdicts

log = logs.get(__name__)


class Delivered(Protocol):
    """A message as a consumer gives it: a record, or an error in its place."""

    def topic(self) -> str: ...

    def partition(self) -> int: ...

    def offset(self) -> int: ...

    def key(self) -> bytes | None: ...

    def value(self) -> bytes | None: ...

    def error(self) -> KafkaError | None: ...


class FactReader:
    """Reads the records of Stores that serve HTTP; others are skipped by their key."""

    def __init__(
        self, registry: Registry, *, results_topic: str, verdicts: Verdicts
    ) -> None:
        self._receipts = AvroReader(registry, "avro/transfer-receipts.avsc")
        self._results = PublishedReader(registry)
        self._results_topic = results_topic
        self._count = len(verdicts.names)

    def read(self, messages: Sequence[Delivered]) -> Facts:
        """All that these records say. Raises Retriable while the registry is away.

        Any other error of ours is raised, too: skipped is only what is unreadable.
        """
        receipts: dict[bytes, list[ClientReceipts]] = {}
        results: dict[bytes, list[Decided]] = {}
        for message in messages:
            emitter = message.key()
            if not writes_receipts(emitter):
                continue
            try:
                if message.topic() == self._results_topic:
                    results.setdefault(emitter, []).append(self._decided(message))
                else:
                    mine = receipts_in(self._receipts.read(_value(message)))
                    receipts.setdefault(emitter, []).extend(mine)
            except OnceError:
                raise  # of the registry: that says nothing about the record
            except Exception as unreadable:  # of any kind: the bytes are a stranger's
                log.error("skipped", at=_place(message), error=repr(unreadable))
        return Facts(receipts, results)

    def _decided(self, message: Delivered) -> Decided:
        said = self._results.read(_value(message))
        columns = (said.verdicts, said.first_verdicts)
        return Decided(said.ids, *(self._known(each).tolist() for each in columns))

    def _known(self, verdicts: Numbers) -> Numbers:
        """What a newer Bank says by a symbol that we do not have is UNKNOWN."""
        return np.where(verdicts < self._count, verdicts, 0)


def _value(message: Delivered) -> bytes:
    value: bytes | None = message.value()
    if value is None:
        raise ValueError("it has no value")
    return value


def _place(message: Delivered) -> str:
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"
