"""docs/reference/ledger.md is what a migrated ledger says of itself."""

from __future__ import annotations

import psycopg
import pytest

from local.platform import Platform
from local.reference import ledger, pages
from local.reference.blocks import filled
from once.resources import find

pytestmark = pytest.mark.stack


def test_the_page_of_the_ledger_is_as_the_migrations_make_it(
    platform: Platform,
) -> None:
    page = find(pages.FOLDER) / "ledger.md"
    content = page.read_text()
    with psycopg.connect(platform.conninfo("audit")) as connection:
        made = filled(content, ledger.tables(connection))
        silent = connection.execute(ledger.RELATIONS).fetchall()
    assert made == content, "make up set-up reference"
    assert [name for _, name, _, about in silent if not about] == []
