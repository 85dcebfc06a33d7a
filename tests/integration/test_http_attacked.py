"""All attacks at once on a real Store with TLS and tokens: others hardly notice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.platform import Platform
from local.stack import Stack
from tests.attackers import EVIL, GOOD, pays_as_ever
from tests.fix_platform import a_platform
from tests.integration.api import Secured, serving

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def platform(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    with a_platform(stack, tmp_path_factory.mktemp("logs")) as platform:
        yield platform


def test_another_client_pays_as_ever_while_a_store_is_attacked(
    platform: Platform, tmp_path: Path
) -> None:
    """The Bank is away, so that those who wait, wait."""
    secured = Secured(tmp_path)
    settings = secured.settings()
    with (
        serving(platform, "attacked", **settings) as (store, url),
        serving(platform, "beside", **settings) as (_, beside),
    ):
        pays_as_ever(
            url,
            beside,
            pid=store.process.pid,
            trust=secured.trust,
            good=secured.issuer.token(GOOD),
            evil=secured.issuer.token(EVIL),
        )
