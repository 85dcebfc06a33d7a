"""CPU time and memory of every process of a run, read from the kernel."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

import psutil

from local.platform import Program
from local.stack import Stack

SAMPLE_SECONDS = 0.5


class Usage:
    """Between enter and exit: CPU seconds by process, and programs' peak memory."""

    def __init__(self, stack: Stack, programs: Mapping[str, Program]) -> None:
        self._stack = stack
        self._programs = {n: psutil.Process(p.process.pid) for n, p in programs.items()}
        self._before: dict[str, float] = {}
        self._ended: dict[str, float] = {}  # last seen, of programs that have ended
        self.cpu_seconds: dict[str, float] = {}
        self.rss_mib_max: dict[str, float] = dict.fromkeys(programs, 0.0)
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._before = self._cpu()
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sampler.join()
        self.cpu_seconds = {
            name: round(after - self._before[name], 2)
            for name, after in self._cpu().items()
        }

    def per_million(self, transfers: int) -> dict[str, float]:
        """CPU seconds per million transfers, by process."""
        scale = 1_000_000 / max(1, transfers)
        return {n: round(cpu * scale, 2) for n, cpu in self.cpu_seconds.items()}

    def _cpu(self) -> dict[str, float]:
        """By name; a part of the stack with all the processes that it has now."""
        parts = self._stack.processes.items()
        families = {name: process.family() for name, process in parts}
        families |= {name: [process] for name, process in self._programs.items()}
        now = {n: sum(map(_cpu_seconds, family)) for n, family in families.items()}
        for name in self._programs:
            self._ended[name] = max(self._ended.get(name, 0.0), now[name])
        return {**now, **self._ended}

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self._cpu()
            for name, process in self._programs.items():
                with suppress(psutil.Error):
                    mib = round(process.memory_info().rss / 2**20, 1)
                    self.rss_mib_max[name] = max(self.rss_mib_max[name], mib)


def _cpu_seconds(process: psutil.Process) -> float:
    """Its own and its ended children's: Postgres forks a backend per connection."""
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(
            times.user + times.system + times.children_user + times.children_system
        )
    return 0.0
