"""Who holds the locks that a batch waited for, and an end for frozen workers."""

from __future__ import annotations

import psycopg

from consumers.bank.database import IDLE_IN_TRANSACTION_SECONDS_MAX

# Others may not see what a session of another role does, only that it is there.
_HOLDERS = """
SELECT DISTINCT pid, usename, coalesce(nullif(application_name, ''), '?'),
       coalesce(state, 'state unknown'), coalesce(wait_event, '')
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE granted AND datname = current_database() AND pid <> pg_backend_pid()
  AND (locktype = 'advisory' OR relation IN (
       'positions'::regclass, 'accounts'::regclass, 'credits'::regclass,
       'transfers'::regclass, 'emitters'::regclass))
  AND mode IN ('RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock',
               'ExclusiveLock', 'AccessExclusiveLock')
ORDER BY pid LIMIT 5
"""

# A worker that was stopped while its data was on the way is not idle for Postgres: its
# backend waits for the client, and its kernel answers every probe. Whoever owns its
# partitions now may end it: what it had not committed is rolled back, and one that
# waits for the standby waits for no client.
_END_FROZEN = """
SELECT pid, application_name, pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user
  AND pid <> pg_backend_pid() AND wait_event = 'ClientRead'
  AND state <> 'idle' AND state_change < clock_timestamp() - make_interval(secs => %s)
  AND pid IN (SELECT pid FROM pg_locks
              WHERE granted AND relation = 'positions'::regclass
                AND mode = 'RowExclusiveLock')
"""


def lock_holders(connection: psycopg.Connection) -> str:
    """The sessions that hold locks on the ledger now, as a clause of a sentence."""
    try:
        rows = connection.execute(_HOLDERS).fetchall()
        connection.rollback()
    except psycopg.Error as error:
        return f"who holds it cannot be seen: {error}"
    if not rows:
        return "whoever held it is gone by now"
    return "held by " + "; ".join(
        f"{application} (role {role}, pid {pid}, {state}{wait and ', ' + wait})"
        for pid, role, application, state, wait in rows
    )


def end_frozen(connection: psycopg.Connection) -> list[str]:
    """End workers that froze in mid statement and hold positions; who they were.

    Raises psycopg.Error.
    """
    rows = connection.execute(
        _END_FROZEN, (IDLE_IN_TRANSACTION_SECONDS_MAX,)
    ).fetchall()
    connection.commit()
    return [f"{name} (pid {pid})" for pid, name, ended in rows if ended]
