"""A replay beside a running stack: a second ledger is made for it, and removed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import psycopg
from psycopg import sql

from local.platform.environments import for_program
from local.platform.platform import Platform
from local.stack.passwords import SUPERUSER
from local.stack.roles import OWNER, ensure_database
from once import resources
from once.migrate import assert_again, migrate


def replay(platform: Platform, arguments: Sequence[str], keep: bool = False) -> int:
    """Replay the platform's log; the exit status.

    The second ledger is `<ledger>-replay`. With `keep` one that is there is gone on
    with, and it stays.
    """
    name = f"{platform.dbname}-replay"
    superuser = platform.stack.conninfo(user=SUPERUSER, dbname="postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        if not keep:
            _drop(connection, name)
        ensure_database(connection, name, OWNER)
        try:
            return _run(platform, name, arguments)
        finally:
            if not keep:
                _drop(connection, name)


def _run(platform: Platform, name: str, arguments: Sequence[str]) -> int:
    stack = platform.stack
    with psycopg.connect(stack.conninfo(user=OWNER, dbname=name)) as owner:
        migrate(owner, resources.find("postgres/migrations"))
        assert_again(owner, resources.find("postgres/asserted"))
    settings = {
        "REPLAY_CONNINFO": platform.conninfo("audit"),
        "REPLAY_NEW_CONNINFO": stack.conninfo(user="bank", dbname=name),
        "REPLAY_TOPIC": platform.topic,
        "REPLAY_RESULTS_TOPIC": platform.results_topic,
        "REPLAY_GROUP": platform.group,
        "REPLAY_BOOTSTRAP_SERVERS": stack.endpoints.bootstrap_servers,
        "REPLAY_REGISTRY_URL": stack.endpoints.registry_url,
    }
    words = ["consumers.bank.replay", *arguments]
    return subprocess.run(
        [sys.executable, "-m", *words],
        env=for_program(words, {**os.environ, **settings}),
        check=False,
    ).returncode


def _drop(connection: psycopg.Connection, name: str) -> None:
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    connection.execute(drop.format(sql.Identifier(name)))
