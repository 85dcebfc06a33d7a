"""The Bank's connection to the primary: how it is made, and made again."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import make_conninfo

from once.errors import Retriable, from_postgres

# A dead peer is noticed by the kernel, never by a timeout that could cancel a COMMIT.
_DEFAULTS = {
    "target_session_attrs": "read-write",
    "connect_timeout": "3",
    "tcp_user_timeout": "10000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
}

# A worker that hangs inside its transaction would block its heir by its row locks. This
# never touches a COMMIT: a backend that commits is not idle.
IDLE_IN_TRANSACTION_MAX = "15s"


def connect(conninfo: str, application_name: str) -> psycopg.Connection:
    """A connection to the primary. Raises Retriable when there is none."""
    given = psycopg.conninfo.conninfo_to_dict(conninfo)
    merged = {**_DEFAULTS, "application_name": application_name, **given}
    try:
        connection = psycopg.connect(make_conninfo("", **merged))
        connection.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, false)",
            (IDLE_IN_TRANSACTION_MAX,),
        )
        row = connection.execute("SHOW transaction_read_only").fetchone()
        connection.commit()
    except psycopg.Error as error:
        raise from_postgres(error, "connecting to Postgres") from error
    if row != ("off",):
        connection.close()
        raise Retriable("connected to a Postgres server that is read-only")
    return connection
