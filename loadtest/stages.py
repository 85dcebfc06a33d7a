"""Where a Bank's time goes: the sums of its stage histograms, read from its metrics."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

import httpx

from local.platform import Program

_SUM = re.compile(r'once_stage_duration_seconds_sum\{.*?stage="(\w+)".*?\} (\S+)')


def stage_seconds(banks: Iterable[Program]) -> dict[str, float]:
    """Wall seconds by stage, all workers added up; empty without metrics."""
    total: defaultdict[str, float] = defaultdict(float)
    for bank in banks:
        (started,) = bank.events("bank worker started")
        page = httpx.get(f"{started['health']}/metrics", trust_env=False).text
        for stage, seconds in _SUM.findall(page):
            total[stage] += float(seconds)
    return dict(total)
