"""Every way a call can end badly, in one tree, decided in this one place.

    OnceError
    ├── Retriable        nothing happened; try again after a pause
    │   ├── Conflict     another writer was there first; redo from a fresh read
    │   └── Denied       we are not let in: a wrong name or password, or a new one
    ├── Abortable        the Kafka transaction was aborted; the same records may be sent
    ├── Indeterminate    the outcome is unknown: never failed, never done; look it up
    ├── Fenced           somebody else owns the work now; drop all state
    │   └── Rival        somebody sends under our name
    ├── Refused          a person must decide; the message says what to do
    ├── Stumbled         these records broke the work; others may not: find out which
    └── Defect           a mistake in this program or its deployment; stop

Adapters translate what their library raises with `from_kafka` and `from_postgres`; the
rest of the code catches only these.
"""

from __future__ import annotations

import psycopg
from confluent_kafka import KafkaError, KafkaException

from once.redact import printable, redacted


class OnceError(Exception):
    """Base of the tree; its message is one sentence for a person.

    It is logged, printed and answered to probes: no password stays in it, whoever
    made it, and nothing that a terminal would obey.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(redacted(message), kept="\n"))


class Retriable(OnceError):
    """Nothing happened; the same call may succeed after a pause."""


class Conflict(Retriable):
    """Another writer was there first; decide again from a fresh read."""


class Denied(Retriable):
    """The server does not let us in; a rotated password may be read in a moment."""


class Abortable(OnceError):
    """The Kafka transaction has no effect; its records may be sent again."""


class Indeterminate(OnceError):
    """The outcome is unknown and must be looked up."""


class Fenced(OnceError):
    """Another process owns the partitions or the transactional id."""


class Rival(Fenced):
    """Another process sends under our transactional id."""


class Refused(OnceError):
    """Going on could lose or repeat money; a person must decide.

    `partition` is the one that it is about; None: everything.
    """

    def __init__(self, message: str = "", partition: int | None = None) -> None:
        super().__init__(message)
        self.partition = partition


class Stumbled(OnceError):
    """The work failed over the records it was given, in a way that nobody foresaw."""


class Defect(OnceError):
    """A mistake in the program, its settings or its deployment."""


def exit_status(error: OnceError) -> int:
    """What a program that ends with this error tells its caller (as in sysexits.h)."""
    if isinstance(error, Refused):
        return 65
    return 78 if isinstance(error, Defect) else 70


_KAFKA_RIVAL = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}

_KAFKA_FENCED = {
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.UNKNOWN_MEMBER_ID,
}

_KAFKA_DEPLOYMENT = {
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
_KAFKA_TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE}

_KAFKA_RETRIABLE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,  # also what a broker says that has just started
}


def from_kafka(raised: KafkaException | KafkaError, doing: str) -> OnceError:
    """What a Kafka error means for the caller; `doing` completes "while ...".

    A plain KafkaException is Indeterminate here: librdkafka speaks the older
    transaction protocol, in which no answer is safe to read as "did not happen".
    """
    error: KafkaError = raised.args[0] if isinstance(raised, KafkaException) else raised
    message = f"while {doing}: {error.name()}: {error.str()}"
    code = error.code()
    if code in _KAFKA_RIVAL:
        return Rival(message)
    if code in _KAFKA_FENCED:
        return Fenced(message)
    if code in _KAFKA_TOO_LARGE:
        return Defect(
            f"{message}; raise the topic's max.message.bytes above the producer's "
            "batch.size (1,000,000), or set a smaller batch.size in ..._KAFKA"
        )
    if error.txn_requires_abort():
        return Abortable(message)
    if code in _KAFKA_DEPLOYMENT:
        return Defect(message)
    if code in _KAFKA_RETRIABLE:
        return Retriable(message)
    return Indeterminate(message)


_POSTGRES_CONFLICT = {
    "23505",  # unique_violation
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
}

_POSTGRES_RETRIABLE = (
    "08",  # connection exception
    "25P03",  # idle in transaction for too long: this process was frozen, and woke up
    "25P04",  # the same for the whole transaction
    "26000",  # a prepared statement that the server does not know
    "40",  # rolled back for a reason of its own: 40003, and Conflict's two
    "53",  # insufficient resources
    "55",  # object not in prerequisite state, lock not available
    "57",  # operator intervention: shutdown, crash, cannot connect now
    "58",  # system error
    "XX000",  # internal error: a bug or a bad page there; the next try may pass
    "25006",  # read-only transaction: a demoted primary; reconnect finds the new one
)


# An answer to a connection attempt has a text, and no SQLSTATE that a client is given.
_POSTGRES_DENIED = (
    "password authentication failed",
    "no password supplied",
    'FATAL:  role "',
    'FATAL:  database "',
    "no pg_hba.conf entry",
    "unsupported startup parameter",  # a pooler's answer
    "permission denied for database",
    "certificate verify failed",
    "server does not support SSL",
    "certificate authentication failed",
)


def from_postgres(raised: psycopg.Error, doing: str) -> OnceError:
    """What a psycopg error means for the caller, before COMMIT was sent."""
    state = raised.sqlstate
    reason = "; ".join(map(str.strip, str(raised).strip().splitlines()))[:500]
    message = f"while {doing}: {state or type(raised).__name__}: {reason}"
    if state in _POSTGRES_CONFLICT:
        return Conflict(message)
    if state is None:
        # The connection broke or could not be made: no answer carries no state.
        broken = isinstance(raised, psycopg.OperationalError | psycopg.InterfaceError)
        if broken and any(words in reason for words in _POSTGRES_DENIED):
            return Denied(message)
        return Retriable(message) if broken else Defect(message)
    if state == "0A000" and "cached plan" in reason:
        return Retriable(message)  # a migration under a running program
    if state.startswith(_POSTGRES_RETRIABLE):
        return Retriable(message)
    if state.startswith("42P01"):
        return Defect(f"{message}; run the migrations: make migrate")
    return Defect(message)
