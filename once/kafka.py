"""Kafka clients are made here, and what they raise is given a name of our own.

librdkafka tells of a refused handshake or a wrong password in a callback only; the call
that waits for it ends with "timed out". `Trouble` keeps what the callback said, and
belongs into every sentence about such a call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException

from once import logs
from once.errors import (
    Abortable,
    Defect,
    Fenced,
    Indeterminate,
    OnceError,
    Retriable,
    Rival,
)
from once.redact import without_secrets_of

log = logs.get(__name__)
C = TypeVar("C")

SAID_AGAIN_SECONDS = 30.0
READ_SECONDS = 0.2

# A compressed batch may hold so much: librdkafka cannot decompress beyond it, and
# stumbles over some sizes below it (confluentinc/librdkafka#5260).
DECOMPRESSED_BYTES_MAX = 400_000_000

# What a person must know of a connection. The rest heals by itself.
_TELLING = {
    KafkaError._SSL: "the TLS handshake fails",
    KafkaError._AUTHENTICATION: "the broker refuses our credentials",
    KafkaError.SASL_AUTHENTICATION_FAILED: "the broker refuses our credentials",
    KafkaError._RESOLVE: "a broker's name cannot be resolved",
    KafkaError._ALL_BROKERS_DOWN: "no broker can be reached",
    KafkaError._TRANSPORT: "a broker cannot be reached",
}
_VAGUE = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT)
# Whoever hangs up in there refuses the handshake, with or without an alert.
_IN_HANDSHAKE = "in state SSL_HANDSHAKE"


class Trouble:
    """What the clients of one program last said of their connections."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}
        self._last: tuple[float, str, bool] | None = None  # when, what, specific

    def note(self, error: KafkaError) -> None:
        """Take what librdkafka reports, as its `error_cb`."""
        code = KafkaError._SSL if _IN_HANDSHAKE in error.str() else error.code()
        meaning = _TELLING.get(code)
        if meaning is None:
            return
        sentence = f"{meaning}: {error.str()}"
        now = self._clock()
        if now - self._said.get(meaning, float("-inf")) > SAID_AGAIN_SECONDS:
            self._said[meaning] = now
            log.warning("trouble with Kafka", error=sentence)
        # That no broker can be reached follows every refusal, and must not hide it.
        if code not in _VAGUE or not self._is_specific(now):
            self._last = (now, sentence, code not in _VAGUE)

    def _is_specific(self, now: float) -> bool:
        """Whether what was said lately tells more than that nobody is there."""
        if self._last is None or not self._last[2]:
            return False
        return now - self._last[0] <= SAID_AGAIN_SECONDS

    def __str__(self) -> str:
        """` (the TLS handshake fails: ...)`, or nothing when all was well lately."""
        if self._last is None or self._clock() - self._last[0] > SAID_AGAIN_SECONDS:
            return ""
        return f" ({self._last[1]})"


def client(
    kind: Callable[[dict[str, Any]], C],
    settings: Mapping[str, Any],
    trouble: Trouble | None = None,
) -> C:
    """A Producer, Consumer or AdminClient. Raises Defect for a setting that is wrong.

    Wrong is what librdkafka refuses at once: a property that it does not know, a value
    out of range, a certificate file that is not there.
    """
    # What goes wrong is said in our own words.
    noted: dict[str, Any] = {"log_level": 2}
    if trouble is not None:
        noted["error_cb"] = trouble.note
    if kind is Consumer:
        noted["receive.message.max.bytes"] = DECOMPRESSED_BYTES_MAX
    reason = _missing_file(settings)
    try:
        if reason is None:
            return kind({**noted, **settings})
    except KafkaException as error:
        reason = error.args[0].str()
    except (TypeError, ValueError) as error:
        reason = str(error)
    reason = without_secrets_of(settings, reason)
    raise Defect(
        f"the settings of the Kafka client are wrong: {reason}; look at ..._KAFKA and "
        "..._BOOTSTRAP_SERVERS (docs/operations.md)"
    )


def onlooker(
    settings: Mapping[str, Any],
    group: str,
    offset_reset: str = "error",
    trouble: Trouble | None = None,
) -> Consumer:
    """A consumer that reads what is committed, and is a member of nothing.

    It names `group` since that is what it may read for; it joins and commits nothing.
    The end of a partition is told. Raises Defect.
    """
    ours = {
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": offset_reset,
        "fetch.wait.max.ms": 50,  # the end of a partition is told after it
    }
    return client(Consumer, {**settings, **ours}, trouble)


def _missing_file(settings: Mapping[str, Any]) -> str | None:
    """The client's own words for a file that is not there do not name it."""
    for name, value in settings.items():
        named = name.endswith((".location", ".keytab")) and value != "probe"
        if named and not Path(value).exists():
            return f"{name} is {value}, which is not there"
    return None


_RIVAL = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}

_FENCED = {
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.UNKNOWN_MEMBER_ID,
}

_DEPLOYMENT = {
    KafkaError._INVALID_ARG,
    KafkaError._AUTHENTICATION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}

# The broker refuses a whole batch for its size, however small its records are, and the
# client sends the same one again: without end, if it counted as a reason to abort.
_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}

_RETRIABLE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,  # also what a broker says that has just started
}


# What passes without anybody's doing: the broker that was asked does not lead, is not
# ready or cannot be reached now, and the client looks for another.
_PASSING = {
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._WAIT_COORD,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,  # one broker may not know yet what another does
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
}


def passes(error: KafkaError) -> bool:
    """Whether what was asked or read may just be asked or read again.

    `error.retriable()` says so of a producer's errors only: of those of a message or
    an answer it is always false.
    """
    return error.retriable() or error.code() in _PASSING


def read(consumer: Consumer, records_max: int, doing: str) -> list[Any]:
    """The next records, if any come in a moment; `doing` completes "while ...".

    Raises Retriable.
    """
    try:
        return records(consumer.consume(records_max, READ_SECONDS), doing)
    except KafkaException as error:
        raise Retriable(f"while {doing}: {error}") from error


def records(messages: Sequence[Any], doing: str) -> list[Any]:
    """The messages that are records: ends of partitions, and what passes, are none.

    `doing` completes "while ...". Raises Retriable for any other error.
    """
    for message in messages:
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            continue
        if not passes(error):
            raise Retriable(f"while {doing}: {error.str()}")
    return [message for message in messages if message.error() is None]


def from_kafka(raised: KafkaException | KafkaError, doing: str) -> OnceError:
    """What a Kafka error means for the caller; `doing` completes "while ...".

    A plain KafkaException is Indeterminate here: librdkafka speaks the older
    transaction protocol, in which no answer is safe to read as "did not happen".
    """
    error: KafkaError = raised.args[0] if isinstance(raised, KafkaException) else raised
    message = f"while {doing}: {error.name()}: {error.str()}"
    code = error.code()
    if code in _RIVAL:
        return Rival(message)
    if code in _FENCED:
        return Fenced(message)
    if code in _TOO_LARGE:
        return Defect(
            f"{message}; raise the topic's max.message.bytes above the producer's "
            "batch.size (1,000,000), or set a smaller batch.size in ..._KAFKA"
        )
    if error.txn_requires_abort():
        return Abortable(message)
    if code in _DEPLOYMENT:
        return Defect(message)
    if code in _RETRIABLE:
        return Retriable(message)
    return Indeterminate(message)
