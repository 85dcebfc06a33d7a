"""A Store's parts, put together: for the service and for the tests of more than one.

    request -> desk -> intake -> backlog -> committer -> emitter -> Kafka
    answer  <- desk <- index  <- committer, follower, filler

Nobody finds a transfer in neither: the committer writes it to the index before it
leaves the backlog, and only then tells the intake and those who wait for news of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from once.errors import OnceError
from once.health import Progress
from once.kafka import Trouble
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.backlog import Backlog
from producers.store.committer import Committer, Pause
from producers.store.desk import Desk
from producers.store.emitter import Emitter
from producers.store.index import Index
from producers.store.intake import Intake
from producers.store.watchers import Watchers

# Calls its first argument with the others, in the event loop.
Soon = Callable[..., object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What accepts transfers, answers for them and sends them on."""

    backlog: Backlog
    index: Index
    watchers: Watchers
    intake: Intake
    committer: Committer
    desk: Desk

    def start(self) -> None:
        """Begin to accept and to commit. In the event loop."""
        self.intake.start()
        self.committer.start()

    async def drain(self, timeout_seconds: float) -> None:
        """What was accepted is committed within that time, or stays in the journal."""
        self.watchers.leave()
        await self.intake.close()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.committer.close, timeout_seconds)


def assemble(
    backlog: Backlog,
    index: Index,
    *,
    open_emitters: Callable[[Pause], Sequence[Emitter]],
    watchers: Watchers,
    soon: Soon,
    failed: Callable[[OnceError], None],
    progress: Progress,
    records_max: int,
    interval_seconds: float,
    queued_after_seconds: float,
    behind: Callable[[], str | None] = lambda: None,
    acknowledged: AcknowledgementLog | None = None,
    trouble: Trouble | None = None,
) -> Parts:
    """The parts on this backlog and this index; see Committer and Desk for the rest."""
    intake = Intake(backlog)

    def committed(number: int, ids: list[bytes]) -> None:
        intake.committed(number)
        watchers.notify(ids)

    committer = Committer(
        backlog,
        index,
        open_emitters=open_emitters,
        acknowledged=acknowledged or AcknowledgementLog(None),
        progress=progress,
        records_max=records_max,
        interval_seconds=interval_seconds,
        committed=partial(soon, committed),
        failed=failed,
        trouble=trouble,
    )
    desk = Desk(
        intake,
        index,
        watchers=watchers,
        behind=behind,
        queued_after_seconds=queued_after_seconds,
    )
    return Parts(
        backlog=backlog,
        index=index,
        watchers=watchers,
        intake=intake,
        committer=committer,
        desk=desk,
    )
