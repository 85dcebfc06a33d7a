"""The platform's real parts on one machine: Kafka, registry, Postgres under Patroni.

For tests, demo and development: `local.stack.Stack` from Python, `python -m local`
from a shell. It is not a way to run payments for others: on Kubernetes Strimzi and
PGO do this job.
"""

from __future__ import annotations

from once import loopback

loopback.spare()  # for all that is started here, and for clients that are not ours
