"""The Bank's connection to the primary: how it is made, and what it must be like.

Whatever role, database, environment or server set as a default, the session sets what
the promise rests on itself, and a database that cannot keep it is refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg
from psycopg.conninfo import make_conninfo

from once.doctor.postgres import require_fit
from once.errors import Retriable
from once.postgres import from_postgres

# A dead peer is noticed by the kernel, never by a timeout that could cancel a COMMIT.
_DEFAULTS = {
    "target_session_attrs": "read-write",
    "connect_timeout": "3",
    "tcp_user_timeout": "10000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}
# Binary COPY is checked in the client's encoding: in another one a memo is spoilt.
_FORCED = {"client_encoding": "UTF8"}

# A worker that hangs inside its transaction would block its heir by its row locks. This
# never touches a COMMIT: a backend that commits is not idle.
IDLE_IN_TRANSACTION_SECONDS_MAX = 15
# Nobody waits for a lock without end and without a word: see blockers.py. A COMMIT that
# waits for the standby waits for no lock.
LOCK_WAIT_SECONDS_MAX = 5

# From the first statement on: a timeout that a role has could end the second one.
_OPTIONS = {
    "statement_timeout": "0",  # could cancel a COMMIT
    "lock_timeout": f"{LOCK_WAIT_SECONDS_MAX}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS_MAX}s",
}

# What a server does not know (an older one) is passed over.
_SESSION = {
    **_OPTIONS,  # once more: what a session has set is its own affair (doctor)
    # A verdict is on what is true at its moment, not when the transaction began.
    "default_transaction_isolation": "read committed",
    # These could cancel a COMMIT, or end a long batch.
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    # The server, too, must notice a client that is gone.
    "client_connection_check_interval": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_SET = (
    "SELECT set_config(name, wanted, false) FROM pg_settings"
    " JOIN unnest(%s::text[], %s::text[]) AS w (name, wanted) USING (name)"
)
# `on` waits for the standby; remote_apply does, and for more.
_SET_COMMIT = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')"
)


def connect(
    conninfo: str,
    application_name: str,
    warn: Callable[[Sequence[str]], None] = lambda findings: None,
) -> psycopg.Connection:
    """A connection to the primary, in read committed, that waits for the standby.

    `warn` is told what is not as it should be, and stops nothing.
    Raises Retriable when there is none, Defect for a database that cannot be used.
    """
    given = psycopg.conninfo.conninfo_to_dict(conninfo)
    named = {**_DEFAULTS, "application_name": application_name, **given, **_FORCED}
    ours = (f"-c {name}={value}" for name, value in _OPTIONS.items())
    named["options"] = " ".join((str(given.get("options") or ""), *ours)).strip()
    try:
        connection = psycopg.connect(make_conninfo("", **named))
    except psycopg.Error as error:
        doing = "connecting to Postgres"
        if "unsupported startup parameter" in str(error):
            doing += " (through a pooler: let BANK_CONNINFO name the primary itself)"
        raise from_postgres(error, doing) from error
    try:
        warn(_prepare(connection))
    except psycopg.Error as error:
        connection.close()
        raise from_postgres(error, "connecting to Postgres") from error
    except BaseException:
        connection.close()
        raise
    return connection


def server_of(connection: psycopg.Connection) -> str:
    """Which server this is, by whatever name it is reached. Raises psycopg.Error."""
    row = connection.execute(
        "SELECT concat_ws(' ', inet_server_addr(), inet_server_port(),"
        " pg_postmaster_start_time())"
    ).fetchone()
    connection.rollback()
    assert row is not None, "a SELECT without FROM has one row"
    return str(row[0])


def hang_up(connection: psycopg.Connection) -> None:
    """End a connection that another thread waits on: its call fails at once."""
    with suppress(psycopg.Error, OSError):
        with socket.socket(fileno=os.dup(connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)


def _prepare(connection: psycopg.Connection) -> list[str]:
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.execute(_SET, (list(_SESSION), list(_SESSION.values())))
    connection.execute(_SET_COMMIT)
    row = connection.execute("SHOW transaction_read_only").fetchone()
    # A pooler, an encoding, what a role or database sets.
    findings = require_fit(connection)
    connection.commit()
    if row != ("off",):
        raise Retriable("connected to a Postgres server that is read-only")
    return [str(finding) for finding in findings]
