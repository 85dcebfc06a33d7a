"""A hundred thousand accounts are opened through the log in seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from local.platform import Platform
from local.platform.accounts import ACCOUNTS
from local.stack import Stack, StackConfig

pytestmark = [pytest.mark.stack, pytest.mark.nightly, pytest.mark.timeout(300)]

SECONDS_MAX = 15.0


def test_a_hundred_thousand_accounts_are_open_within_fifteen_seconds(
    config: StackConfig, tmp_path: Path
) -> None:
    with Stack(config) as stack:
        platform = Platform(stack, "", tmp_path / "logs")
        platform.set_up()
        with platform.bank() as bank:
            platform.open_accounts(1, 1, 0)  # everything is warm
            began = time.monotonic()
            platform.open_accounts(2, ACCOUNTS, 80_000)
            took = time.monotonic() - began
            bank.terminate()
        assert took < SECONDS_MAX
        assert platform.opened() == 1 + ACCOUNTS
        report = platform.audit()
        assert report.invariants_ok, report.model_dump_json(indent=2)
        assert report.changed == 1 + ACCOUNTS
