"""The demo begins with a ledger that nobody has used, and leaves no heap of them."""

from __future__ import annotations

import io
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from local.platform import Platform, platforms
from local.platform.demo import NAME, new_platform
from local.platform.platform import has_ledger
from local.stack import Stack
from local.stack.passwords import SUPERUSER
from local.stack.roles import OWNER, ensure_database
from tests.fix_platform import PARTITIONS

pytestmark = pytest.mark.stack


def test_a_demo_has_a_new_ledger_and_those_of_earlier_ones_are_gone(
    stack: Stack, platform: Platform, tmp_path: Path
) -> None:
    earlier = Platform(stack, f"{NAME}earlier", tmp_path)
    earlier.set_up(PARTITIONS)
    console = Console(file=io.StringIO())
    made = new_platform(stack, tmp_path, console)
    try:
        there = platforms(stack)
        assert made.name in there and platform.name in there
        assert earlier.name not in there
        assert made.applied() == made.opened() > 0, "nothing but accounts"
    finally:
        made.remove()


def test_a_ledger_is_there_when_it_is_set_up_and_not_when_its_database_is_gone(
    stack: Stack, tmp_path: Path
) -> None:
    platform = Platform(stack, "had", tmp_path)
    assert not has_ledger(platform)
    superuser = stack.conninfo(user=SUPERUSER, dbname="postgres")
    with psycopg.connect(superuser, autocommit=True) as connection:
        ensure_database(connection, platform.dbname, OWNER)
    assert not has_ledger(platform), "the database alone is none"
    platform.set_up(PARTITIONS)
    assert has_ledger(platform)
    platform.remove()
    assert not has_ledger(platform)
