"""PUTs at a steady rate to the Store of a local cluster: by TLS, with a token.

Twice: until the payment is promised, and (`?wait`) until it is posted. A latency counts
from when the PUT was due (loadtest/paced.py).
"""

from __future__ import annotations

from uuid import uuid4

from loadtest.paced import paced, single_puts
from local.kube import choice
from local.kube.traffic import access

WAYS = {"committed": "", "posted": "?wait=10"}


def cluster(rate: float, seconds: float, connections: int) -> dict[str, object]:
    """Each of both for so long. Raises StackError where no cluster is up."""
    site = choice.cluster()
    report: dict[str, object] = {"scenario": "cluster", "rate_asked": rate}
    with access(site, "loadtest") as (url, token, trust):
        for way, query in WAYS.items():
            answers = paced(
                url,
                rate=rate,
                seconds=seconds,
                connections=connections,
                request=single_puts(uuid4().hex[:8], query, token),
                trust=trust,
            )
            report[way] = answers.report()
    return report
