"""What Postgres' errors mean for the caller."""

from __future__ import annotations

import psycopg

from once.errors import Conflict, Defect, Denied, OnceError, Retriable

_CONFLICT = {
    "23505",  # unique_violation
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
}

_RETRIABLE = (
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
_DENIED = (
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
    if state in _CONFLICT:
        return Conflict(message)
    if state is None:
        # The connection broke or could not be made: no answer carries no state.
        broken = isinstance(raised, psycopg.OperationalError | psycopg.InterfaceError)
        if broken and any(words in reason for words in _DENIED):
            return Denied(message)
        return Retriable(message) if broken else Defect(message)
    if state == "0A000" and "cached plan" in reason:
        return Retriable(message)  # a migration under a running program
    if state.startswith(_RETRIABLE):
        return Retriable(message)
    if state.startswith("42P01"):
        return Defect(
            f"{message}; run the migrations: python -m once migrate "
            "(here: make set-up, or make migrate)"
        )
    return Defect(message)
