"""A password in an address is sent, and nobody reads it in a log or an answer."""

from __future__ import annotations

from pathlib import Path

import httpx
import psutil
import pytest

from local.platform import Platform
from local.processes.waiting import wait_until
from tests.fix_platform import emit, health_url, transfer

pytestmark = pytest.mark.stack

SECRET = "hunter2"


def with_password(url: str) -> str:
    return url.replace("://", f"://svc:{SECRET}@")


def ready(url: str) -> httpx.Response:
    return httpx.get(f"{url}/readyz", trust_env=False)


def test_the_registrys_password_is_told_to_the_registry_alone(
    platform: Platform,
) -> None:
    there = with_password(platform.stack.endpoints.registry_url)
    emit(platform, transfer(1))
    with platform.bank(registry_url=there, log_level="debug") as bank:
        platform.wait_applied(1)
        answer = ready(health_url(bank.text))
        assert SECRET not in bank.text + answer.text
        assert bank.terminate() == 0


def test_it_stays_secret_while_the_registry_is_away(platform: Platform) -> None:
    away = with_password("http://127.0.0.1:9/apis/ccompat/v7")
    with platform.bank(registry_url=away) as bank:
        wait_until(
            lambda: "a new one follows" in bank.text,
            what="a failure",
            timeout_seconds=60,
        )
        answer = ready(health_url(bank.text))
        assert answer.status_code == 503 and "127.0.0.1:9" in answer.text
        assert SECRET not in bank.text + answer.text


def test_no_command_line_and_no_foreign_environment_has_a_password(
    platform: Platform,
) -> None:
    passwords = {
        platform.stack.password(role) for role in ("postgres", "migrator", "audit")
    }
    with platform.bank() as bank, platform.store_api() as store:
        store.url()
        for program in (bank, store):
            told = Path(f"/proc/{program.process.pid}/environ").read_text()
            assert not [each for each in passwords if each in told]
        theirs = platform.stack.password("bank")
        told = Path(f"/proc/{store.process.pid}/environ").read_text()
        assert theirs not in told
        for each in psutil.process_iter(["cmdline"]):
            command = " ".join(each.info["cmdline"] or [])
            assert not [each for each in passwords | {theirs} if each in command]
