"""All attacks at once on a real Store with TLS and tokens: others hardly notice."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from local.platform import Platform
from local.stack import Stack
from tests.fix_platform import a_platform
from tests.integration.api import Secured, payment, serving

pytestmark = pytest.mark.stack

BUNDLE = "/static-offline-docs/swagger-ui-bundle.js"  # 1.5 MB, for everybody
MEBIBYTES_MAX = 768  # the smallest pod's limit (producers/store/k8s)
P99_SECONDS_MAX = 0.5
SLOWER_MAX = 4.0  # where the machine is slow by itself
QUIET_SECONDS, ATTACKED_SECONDS = 5.0, 12.0
EVIL, GOOD = "evil", "good"


@pytest.fixture(scope="module")
def platform(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    with a_platform(stack, tmp_path_factory.mktemp("logs")) as platform:
        yield platform


class Attackers:
    """Connections to one Store, and threads that misbehave on them until the end."""

    def __init__(self, url: str, secured: Secured) -> None:
        self._url = urlsplit(url)
        self._trust = secured.trust
        self._token = secured.headers(EVIL)["Authorization"]
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open = ExitStack()

    def __enter__(self) -> "Attackers":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._open.close()

    def connect(self, shake_hands: bool = True) -> socket.socket:
        """A connection that takes little of what it is sent."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.settimeout(5)
        self._open.callback(raw.close)
        raw.connect((self._url.hostname, self._url.port))
        if not shake_hands:
            return raw
        secure = self._trust.wrap_socket(raw, server_hostname="localhost")
        self._open.callback(secure.close)
        return secure

    def head(self, line: str, *headers: str, token: bool = True) -> bytes:
        """The head of a request."""
        said = [f"Authorization: {self._token}"] if token else []
        lines = [f"{line} HTTP/1.1", "Host: localhost", *said, *headers, "", ""]
        return "\r\n".join(lines).encode()

    def again_and_again(self, attack: Callable[[], object]) -> None:
        """Do it until the end, in a thread, whatever comes of it."""

        def run() -> None:
            while not self._over.wait(0.25):
                with suppress(OSError):
                    attack()

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)


def all_at_once(they: Attackers) -> None:
    """What strangers and one client with a token can do."""
    lines = "Content-Type: application/x-ndjson"
    batch = "POST /v1/transfers:batch"
    fields = {f"k{number}": 0 for number in range(2_000)}
    body = json.dumps({**payment(), **fields}).encode()

    def pipelining() -> None:
        bundle = they.head(f"GET {BUNDLE}", token=False)
        they.connect().sendall(
            bundle * 2 + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 9_000
        )

    def unread() -> None:
        they.connect().sendall(they.head(f"GET {BUNDLE}", token=False))

    def wrong_lines() -> None:
        they.connect().sendall(
            they.head(batch, lines, "Content-Length: 6000000") + b"{}\n" * 2_000_000
        )

    def dripping() -> None:
        connection = they.connect()
        connection.sendall(they.head(batch, lines, "Content-Length: 1000"))
        connection.sendall(b"\n")

    def waiting() -> None:
        for _ in range(10):
            ask = f"PUT /v1/transfers/{uuid4()}?wait=30"
            content = json.dumps(payment()).encode()
            they.connect().sendall(
                they.head(
                    ask,
                    "Content-Type: application/json",
                    f"Content-Length: {len(content)}",
                )
                + content
            )

    def dear() -> None:
        they.connect().sendall(
            they.head(
                f"PUT /v1/transfers/{uuid4()}",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
            )
            + body
        )

    def silent() -> None:
        they.connect(shake_hands=False)

    for attack in (pipelining, unread, wrong_lines, dripping, waiting, dear, silent):
        they.again_and_again(attack)


@contextmanager
def most_memory(pid: int) -> Iterator[list[float]]:
    """The largest resident size of a process meanwhile, in MiB."""
    most, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            most[0] = max(most[0], pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def p99_of_paying(http: httpx.Client, seconds: float) -> float:
    """In seconds; every payment is committed."""
    took: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        answer = http.put(f"/v1/transfers/{uuid4()}", json=payment(payer=2))
        took.append(time.monotonic() - began)
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "committed"
    return quantiles(took, n=100)[98]


def test_another_client_pays_as_ever_while_a_store_is_attacked(
    platform: Platform, tmp_path: Path
) -> None:
    """The Bank is away, so that those who wait, wait."""
    secured = Secured(tmp_path)
    with serving(platform, **secured.settings()) as (store, url), ExitStack() as stack:
        headers = secured.headers(GOOD)
        http = stack.enter_context(
            httpx.Client(
                base_url=url, verify=secured.trust, headers=headers, timeout=30
            )
        )
        most = stack.enter_context(most_memory(store.process.pid))
        usual = p99_of_paying(http, QUIET_SECONDS)
        with Attackers(url, secured) as they:
            all_at_once(they)
            attacked = p99_of_paying(http, ATTACKED_SECONDS)
    assert most[0] < MEBIBYTES_MAX
    assert attacked < max(P99_SECONDS_MAX, SLOWER_MAX * usual)
