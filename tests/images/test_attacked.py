"""The attacks of tests/attackers.py on a Store in its container."""

from __future__ import annotations

import pytest

from tests.attackers import EVIL, GOOD, pays_as_ever
from tests.images.containers import Ended, running
from tests.images.engine import Engine
from tests.images.programs import HTTPS, Programs

pytestmark = pytest.mark.stack


def test_another_client_pays_as_ever_while_a_container_is_attacked(
    engine: Engine, programs: Programs, set_up: dict[str, Ended]
) -> None:
    with (
        running(engine, programs.store()) as store,
        running(engine, programs.store()) as beside,
    ):
        store.wait_ready()
        beside.wait_ready()
        pays_as_ever(
            f"https://{store.address(HTTPS)}",
            f"https://{beside.address(HTTPS)}",
            pid=store.pid,
            trust=programs.trust,
            good=programs.token(GOOD),
            evil=programs.token(EVIL),
        )
        store.wait_ready()  # it is the same one
        assert store.stop().status == 0
