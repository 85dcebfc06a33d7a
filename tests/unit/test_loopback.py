"""A proxy in the environment is never asked for what is on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request

import httpx
import pytest

from once import loopback
from once.errors import Defect
from once.registry import Registry
from tests.contract.registry_server import serving

NOBODY = "http://127.0.0.1:9"  # no proxy listens there
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")


@pytest.fixture(params=[NOBODY, "socks5://127.0.0.1:9", "no address"])
def proxies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.setenv(name, request.param)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("proxies")
def test_a_registry_on_this_machine_is_asked_directly() -> None:
    with serving({7: '"string"'}) as url:
        registry = Registry(url)
        assert registry.schema(7) == "string"
        registry.close()


@pytest.mark.parametrize("unusable", ["socks5://127.0.0.1:9", "gopher://a"])
def test_a_proxy_that_cannot_be_used_is_named_with_the_way_out(
    unusable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", unusable)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(Defect, match="proxy .*NO_PROXY"):
        Registry("http://registry.example")


@pytest.mark.parametrize("there", ["", "internal.example", "127.0.0.1, ::1"])
def test_other_libraries_are_told_too_and_keep_what_was_there(
    there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, there)
    monkeypatch.setenv("HTTP_PROXY", NOBODY)
    loopback.spare()
    loopback.spare()
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    named = os.environ["NO_PROXY"].split(",")
    assert len(named) == len(set(named)), "nothing twice"
    assert set(filter(None, there.replace(" ", "").split(","))) <= set(named)
    with serving({7: '"string"'}) as url:
        assert httpx.get(f"{url}/schemas/ids/7").is_success
        with urllib.request.urlopen(f"{url}/schemas/ids/7") as answer:
            assert answer.status == 200


def test_whoever_proxies_nothing_is_left_alone() -> None:
    environment = {"NO_PROXY": "*", "no_proxy": "*"}
    loopback.spare(environment)
    assert environment == {"NO_PROXY": "*", "no_proxy": "*"}


def test_what_is_here_is_told_by_its_address() -> None:
    for url in ("http://127.0.0.1:1/x", "https://localhost", "http://[::1]:8", NOBODY):
        assert loopback.is_loopback(url)
    for url in ("http://registry", "https://10.0.0.1:8081", "", "http://localhost.me"):
        assert not loopback.is_loopback(url)


def test_all_that_is_started_from_local_is_told() -> None:
    asked = "import local, os; print(os.environ['no_proxy'])"
    environment = {**os.environ, "HTTP_PROXY": NOBODY, "NO_PROXY": "", "no_proxy": ""}
    command = [sys.executable, "-c", asked]
    said = subprocess.check_output(command, env=environment, text=True)
    assert said.strip() == ",".join(loopback.HOSTS)
