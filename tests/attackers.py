"""Strangers, and one client with a token, who attack a Store in every way at once."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from tests.integration.api import payment

BUNDLE = "/static-offline-docs/swagger-ui-bundle.js"  # 1.5 MB, for everybody
MEBIBYTES_MAX = 768  # the smallest pod's limit (producers/store/k8s)
P99_SECONDS_MAX = 0.5
SLOWER_MAX = 4.0  # where the machine is slow by itself
ATTACKED_SECONDS = 12.0
EVIL, GOOD = "evil", "good"


class Attackers:
    """Connections to one Store, and threads that misbehave on them until the end."""

    def __init__(self, url: str, *, token: str, trust: ssl.SSLContext) -> None:
        """`token` is what the one client of theirs that has one sends."""
        self._url = urlsplit(url)
        self._trust = trust
        self._token = token
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open = ExitStack()

    def __enter__(self) -> Attackers:
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
        secure = self._trust.wrap_socket(raw, server_hostname=self._url.hostname)
        self._open.callback(secure.close)
        return secure

    def head(self, line: str, *headers: str, token: bool = True) -> bytes:
        """The head of a request."""
        said = [f"Authorization: Bearer {self._token}"] if token else []
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


@contextmanager
def a_client(url: str, token: str, trust: ssl.SSLContext) -> Iterator[httpx.Client]:
    """Somebody who pays."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(
        base_url=url, verify=trust, headers=headers, timeout=30, trust_env=False
    ) as http:
        yield http


def pays_as_ever(
    url: str, beside: str, *, pid: int, trust: ssl.SSLContext, good: str, evil: str
) -> None:
    """One client pays while all attack the Store with this process; by their tokens.

    At the same time it pays at the Store `beside`, which nobody attacks: whatever else
    this machine has to do holds both up.
    """
    with (
        a_client(url, good, trust) as http,
        a_client(beside, good, trust) as elsewhere,
        most_memory(pid) as most,
        Attackers(url, token=evil, trust=trust) as they,
        ThreadPoolExecutor(1) as pool,
    ):
        all_at_once(they)
        usual = pool.submit(p99_of_paying, elsewhere, ATTACKED_SECONDS)
        attacked = p99_of_paying(http, ATTACKED_SECONDS)
        bound = max(P99_SECONDS_MAX, SLOWER_MAX * usual.result())
    assert most[0] < MEBIBYTES_MAX
    assert attacked < bound
