"""One local stack for the whole test session, never the user's own under `.local`.

Where tests go on beside each other, each of these sessions has its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.stack import Stack, StackConfig

ROOT = Path(__file__).parent.parent
SESSION = os.environ.get("PYTEST_XDIST_WORKER", "")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Three brokers, the registry and three Postgres nodes, empty at the start.

    A test that breaks something heals it before it ends.
    """
    config = StackConfig(
        state_dir=ROOT / "build" / f"test-stack{SESSION}",
        jars_dir=ROOT / ".local" / "jars",
    )
    stack = Stack(config)
    if Stack.running(config.state_dir):
        Stack.attach(config.state_dir).stop()  # of a session that was killed
    stack.wipe()
    with stack:
        yield stack
