"""Choosing TCP ports of 127.0.0.1, and keeping them across restarts."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Mapping

from local.processes.errors import StackError

# Below Linux's ephemeral range (32768 and up): an outgoing connection cannot take
# the port of a broker while that broker is down.
LOWEST_PORT = 20_000
HIGHEST_PORT = 32_000
ATTEMPTS_MAX = 2_000


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too: a port in TIME_WAIT is free for them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_ports(
    names: Iterable[str],
    *,
    remembered: Mapping[str, int],
    configured: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """A port for every name: the configured one, else the remembered one, else a free.

    A remembered port that someone else has taken is given up. A configured one is not:
    the caller asked for it, so that raises StackError.
    """
    fixed = configured or {}
    chosen: dict[str, int] = {}
    for name in names:
        if name in fixed:
            if not is_free(fixed[name]):
                raise StackError(
                    f"port {fixed[name]} for {name} is in use by another program"
                )
            chosen[name] = fixed[name]
        elif name in remembered and is_free(remembered[name]):
            chosen[name] = remembered[name]
    taken = set(chosen.values())
    for name in names:
        if name not in chosen:
            chosen[name] = _free_port(taken)
            taken.add(chosen[name])
    return chosen


def free_block(count: int) -> int:
    """The first of so many ports in a row that are free now. Raises StackError."""
    for _ in range(ATTEMPTS_MAX):
        first = random.randrange(LOWEST_PORT, HIGHEST_PORT - count)
        if all(is_free(first + index) for index in range(count)):
            return first
    raise StackError(
        f"no {count} free ports in a row between {LOWEST_PORT} and {HIGHEST_PORT}"
    )


def _free_port(taken: set[int]) -> int:
    for _ in range(ATTEMPTS_MAX):
        port = random.randrange(LOWEST_PORT, HIGHEST_PORT)
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no free port between {LOWEST_PORT} and {HIGHEST_PORT}")
