"""Which of our programs a monitored stack scrapes: each at a port that was free."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from local.processes.ports import free_block

# Programs that stay, by their first words.
_KINDS = {("consumers.bank", "run"): "bank", ("producers.store", "serve"): "store"}
WORKERS = "--workers"


class Scraper(Protocol):
    """What scrapes them."""

    def scrape(self, name: str, ports: Mapping[str, int]) -> None: ...


class Scraped(Protocol):
    """A stack that may be monitored."""

    @property
    def monitoring(self) -> Scraper | None: ...


def scraped(
    stack: Scraped, arguments: Sequence[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """The settings of a program, with where its health is served.

    As they are, where nobody scrapes, or where they say it themselves.
    """
    kind = _KINDS.get((arguments[0], arguments[1])) if len(arguments) > 1 else None
    port = f"{kind}_HEALTH_PORT".upper()
    if stack.monitoring is None or kind is None or environment.get(port):
        return dict(environment)
    instance = environment.get(f"{kind}_INSTANCE".upper(), str(os.getpid()))
    workers = _workers(arguments)
    first = free_block(workers)
    pods = {f"{kind}-{instance}-{index}": first + index for index in range(workers)}
    stack.monitoring.scrape(f"{kind}-{instance}", pods)
    return {**environment, port: str(first)}


def _workers(arguments: Sequence[str]) -> int:
    """`--workers 2` or `--workers=2`; without it one."""
    words = " ".join(arguments).replace(f"{WORKERS}=", f"{WORKERS} ").split()
    return int(words[words.index(WORKERS) + 1]) if WORKERS in words else 1
