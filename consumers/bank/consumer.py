"""What the Bank's consumer must be told, whatever the user wants beside it."""

from __future__ import annotations

from typing import Any

from consumers.bank.settings import BankSettings

DAY_MS = 86_400_000


def consumer_settings(settings: BankSettings) -> dict[str, Any]:
    """What the Bank's consumer must be told, over what the user wants."""
    # A static member's id must differ between the workers of one command.
    config = settings.client
    named = config.get("group.instance.id")
    static = {"group.instance.id": f"{named}-{settings.instance}"} if named else {}
    return {
        **config,
        **static,
        "group.id": settings.group,
        "client.id": f"bank-{settings.instance}",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",  # never by itself: see assignment.py
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        # Restoring reads all results first, in the midst of a rebalance.
        **({"max.poll.interval.ms": DAY_MS} if settings.restore else {}),
        "heartbeat.interval.ms": max(100, settings.session_timeout_ms // 5),
        "fetch.wait.max.ms": 50,
        # librdkafka spends some 400 bytes on each queued record beside its own.
        "queued.max.messages.kbytes": settings.fetch_queue_kib,
        "queued.min.messages": settings.batch_records_max,
    }
