"""What is wrong with a Store's settings or input is one sentence and a status, soon."""

from __future__ import annotations

import os
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from local.platform.credentials import Issuer
from local.processes.waiting import wait_until
from tests.fix_platform import health_url
from tests.unit.entries import SECONDS_MAX

SERVE = ("serve",)
EMIT = ("emit", "--count", "1")


def environment(**settings: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        "STORE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "STORE_REGISTRY_URL": "http://127.0.0.1:1",
        "STORE_DEMO": "1",
        "STORE_PORT": "0",
        "NO_PROXY": "*",
        **{f"STORE_{name.upper()}": value for name, value in settings.items()},
    }


def run(*arguments: str, **settings: str) -> tuple[int, str]:
    """Status and last words."""
    done = subprocess.run(
        [sys.executable, "-m", "producers.store", *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=3 * SECONDS_MAX,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", [EMIT, SERVE], ids=["emit", "serve"])
@pytest.mark.parametrize(
    ("kafka", "named"),
    [
        ('{"ssl.ca.locatoin": "/x"}', "ssl.ca.locatoin"),
        ('{"socket.timeout.ms": "soon"}', "socket.timeout.ms"),
        (
            '{"security.protocol": "SSL", "ssl.ca.location": "/none.pem"}',
            "ssl.ca.location is /none.pem, which is not there",
        ),
    ],
)
def test_a_wrong_kafka_property_ends_with_78_and_its_name(
    command: tuple[str, ...], kafka: str, named: str
) -> None:
    status, said = run(*command, kafka=kafka)
    assert status == 78, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("Defect: ") and named in last


@pytest.mark.parametrize("command", [EMIT, SERVE], ids=["emit", "serve"])
def test_a_missing_setting_ends_with_78_and_its_name(command: tuple[str, ...]) -> None:
    status, said = run(*command, bootstrap_servers="", transaction_records_max="none")
    assert status == 78 and "STORE_TRANSACTION_RECORDS_MAX" in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [EMIT, SERVE], ids=["emit", "serve"])
def test_a_health_port_that_is_taken_ends_with_78_and_its_setting(
    command: tuple[str, ...],
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        status, said = run(*command, health_port=str(taken.getsockname()[1]))
    assert status == 78, said
    assert "STORE_HEALTH_PORT" in said.strip().splitlines()[-1]


def test_more_connections_than_files_may_be_open_end_with_78_and_the_setting() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard > 10_000_000:
        pytest.skip("as many files as one likes may be open")
    status, said = run("serve", connections_max="20000000")
    assert status == 78, said
    assert "STORE_CONNECTIONS_MAX" in said.strip().splitlines()[-1]


def test_a_certificate_that_is_not_there_ends_with_78_and_its_setting(
    tmp_path: Path,
) -> None:
    files = {"tls_cert": "/none.pem", "tls_key": "/none.key"}
    jwks = str(Issuer(tmp_path).jwks)
    status, said = run("serve", demo="0", jwks=jwks, **files)
    assert status == 78, said
    assert "STORE_TLS_CERT /none.pem" in said.strip().splitlines()[-1]


@pytest.mark.parametrize("what", ["there-is-none.jsonl", "."])
def test_a_file_that_cannot_be_read_is_told_before_anything_is_waited_for(
    what: str, tmp_path: Path
) -> None:
    status, said = run("emit", str(tmp_path / what))
    assert status == 2
    unboxed = " ".join(said.replace("│", " ").split())
    assert re.search(r"No such file|Is a directory", unboxed)


def test_a_rate_for_a_file_is_refused_not_passed_over(tmp_path: Path) -> None:
    lines = tmp_path / "lines.ndjson"
    lines.touch()
    status, said = run("emit", str(lines), "--rate", "100")
    assert status == 2 and "--rate" in said


def test_an_acknowledgement_log_that_cannot_be_written_is_told_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    status, said = run(*EMIT, "--ack-log", str(tmp_path / "file" / "acknowledged"))
    assert status == 2 and "--ack-log" in said


@contextmanager
def no_tls() -> Iterator[str]:
    """The address of something that does not speak TLS."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def answer() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            except OSError:  # closed
                return

        threading.Thread(target=answer, daemon=True).start()
        yield "127.0.0.1:{}".format(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("command", [EMIT, SERVE], ids=["emit", "serve"])
def test_a_refused_handshake_is_named_where_it_waits_and_in_readyz(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with no_tls() as address, log.open("w") as stderr:
        settings = environment(
            bootstrap_servers=address,
            kafka='{"security.protocol": "SSL"}',
            health_port="0",
            log_level="info",
        )
        with subprocess.Popen(
            [sys.executable, "-m", "producers.store", *command],
            env=settings,
            stderr=stderr,
        ) as store:
            try:

                def told() -> bool:
                    text = log.read_text()
                    waiting = [each for each in text.splitlines() if "waiting" in each]
                    if not any("SSL handshake" in each for each in waiting):
                        return False
                    ready = httpx.get(f"{health_url(text)}/readyz", trust_env=False)
                    assert ready.status_code == 503
                    return "SSL handshake" in ready.text

                wait_until(
                    told,
                    what="the handshake to be named",
                    timeout_seconds=3 * SECONDS_MAX,
                )
            finally:
                store.kill()
