"""Fixtures of the contract tests: registries that know our schemas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from once.registry import Registry, load_schema
from tests.contract.golden import AVRO, SCHEMA_ID
from tests.contract.registry_server import serving

LATER_ID = 2


@pytest.fixture
def transfers_registry() -> Iterator[Registry]:
    """Today's transfer schema as 1, and as 2 one that a later producer may use."""
    today = load_schema(AVRO / "transfer.avsc")
    added = {"name": "purpose", "type": "string", "default": "", "doc": "Later."}
    later = {**today, "fields": [added, *today["fields"]]}
    with serving({SCHEMA_ID: today, LATER_ID: later}) as url:
        registry = Registry(url)
        yield registry
        registry.close()


@contextmanager
def registry_of(name: str) -> Iterator[Registry]:
    """A registry that knows today's schema of this name as 1."""
    with serving({SCHEMA_ID: load_schema(AVRO / f"{name}.avsc")}) as url:
        registry = Registry(url)
        yield registry
        registry.close()


@pytest.fixture
def results_registry() -> Iterator[Registry]:
    with registry_of("transfer-results") as registry:
        yield registry


@pytest.fixture
def changes_registry() -> Iterator[Registry]:
    with registry_of("account-change") as registry:
        yield registry


@pytest.fixture
def receipts_registry() -> Iterator[Registry]:
    with registry_of("transfer-receipts") as registry:
        yield registry
