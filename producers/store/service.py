"""The Store as a process: its parts started, watched and drained.

What accepts and commits is put together by assembly.py; here are HTTP before it, the
followers of the log behind it, and what every process needs around it.

HTTP lives in the event loop; the intake's disk, the committer and the followers have a
thread each. Everything else that they share is the backlog and the index.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import uvicorn

from once import logs
from once.errors import Defect, OnceError
from once.health import Progress
from once.http_metrics import FollowMetrics, HttpMetrics
from once.kafka import Trouble
from once.producer import in_turn
from once.registry import Registry
from once.telemetry import Telemetry
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.api.app import create_app
from producers.store.api.auth import Gate, anyone
from producers.store.api.server import Server, StoreConfig
from producers.store.assembly import Parts, assemble
from producers.store.backlog import Backlog, MemoryBacklog
from producers.store.clerk import Clerk
from producers.store.committer import Committer, Pause
from producers.store.emitter import Emitter
from producers.store.filler import Filler
from producers.store.followed import Followed
from producers.store.follower import Follower, News
from producers.store.index import Index
from producers.store.journal import Journal
from producers.store.opening import open_emitters, serve_health
from producers.store.receipts import new_emitter
from producers.store.settings import ServeSettings
from producers.store.states import Verdicts
from producers.store.watchers import Watchers

log = logs.get(__name__)

HEARTBEAT_SECONDS = 1.0
SWITCH_SECONDS = 0.001
GC_THRESHOLDS = (20_000, 20, 100)
CERTIFICATE_SECONDS = 10.0


class Service:
    """One Store that serves HTTP, from its settings to its last answer."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._failure: OnceError | None = None
        self._watchers = Watchers()
        self._trouble = Trouble()
        self._progress = Progress(settings.stall_seconds_max)  # of the event loop
        self._resources = AsyncExitStack()
        self._server: uvicorn.Server | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises OnceError when it cannot go on."""
        self._loop = asyncio.get_running_loop()
        # Whatever goes wrong in a request is logged where it is answered.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        logging.getLogger("httpx").setLevel(logging.WARNING)
        # Three threads share the interpreter with the loop; each waits at most so long
        # for its turn, many times per Kafka transaction.
        sys.setswitchinterval(SWITCH_SECONDS)
        async with self._resources:
            server = await self._open()
            # Requests make little that only the collector can free, and every full pass
            # looks at all that the libraries made: it was half of the CPU.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            for each in (signal.SIGTERM, signal.SIGINT):
                # uvicorn raises the signal again when it has ended; then it is ours.
                signal.signal(each, lambda *_: None)
            await server.serve()
            log.info("draining")
        if self._failure is not None:
            raise self._failure

    async def _open(self) -> uvicorn.Server:
        settings = self._settings
        closing = self._resources.callback
        telemetry = Telemetry.start(
            "store", settings.instance, settings.trace_ratio, settings.otlp_endpoint
        )
        closing(telemetry.shutdown)
        metrics = HttpMetrics(telemetry.meter, telemetry.registry)
        doorman = anyone
        if not settings.demo:
            gate = Gate(settings)
            await gate.open()
            closing(gate.close)
            doorman = gate.client
            metrics.watch_keys(gate.keys_age_seconds)
        index = self._index()
        closing(index.close)
        backlog = self._backlog()
        closing(backlog.close)
        follower, filler = self._followers(telemetry, index)
        acknowledged = self._resources.enter_context(
            AcknowledgementLog(settings.ack_log)
        )
        parts = assemble(
            backlog,
            index,
            open_emitters=self._emitters(telemetry),
            watchers=self._watchers,
            soon=self._soon,
            failed=self._fail,
            progress=Progress(settings.stall_seconds_max),
            records_max=settings.transaction_records_max,
            interval_seconds=settings.transaction_interval_ms / 1000,
            queued_after_seconds=settings.queued_after_ms / 1000,
            behind=lambda: follower.check() or filler.check(),
            acknowledged=acknowledged,
            trouble=self._trouble,
        )
        metrics.watch(lambda: len(backlog), lambda: len(self._watchers))
        clerk = self._clerk(telemetry, parts, acknowledged)
        app = create_app(parts.desk, clerk, doorman, settings, metrics.request)
        config = StoreConfig(app, settings)
        # Before anything can fail that has to end it.
        self._server = Server(
            config, leave=self._watchers.leave, listening=self._listening
        )
        _load(config)
        # Its port may be taken, which need not wait for Kafka.
        self._serve_health(telemetry, parts, follower)
        parts.start()
        self._resources.push_async_callback(self._drain, parts)
        for reading in (follower, filler):
            reading.start()
            closing(reading.close)
        if settings.tls_cert is not None:
            self._start(self._renew(config), "certificates")
        return self._server

    def _index(self) -> Index:
        settings = self._settings
        return Index(
            settings.index or self._temporary(),
            Verdicts(),
            hours=settings.index_hours,
            bytes_max=settings.index_bytes_max,
            kept=settings.index is not None,
        )

    def _backlog(self) -> Backlog:
        settings = self._settings
        if settings.journal is None:
            return MemoryBacklog(settings.queue_transfers_max)
        return Journal(settings.journal, settings.journal_transfers_max)

    def _emitters(
        self, telemetry: Telemetry, separator: str = "-"
    ) -> Callable[[Pause], list[Emitter]]:
        """What opens the emitters, in the thread of whoever sends by them."""
        settings = self._settings
        producers = in_turn(
            settings.client,
            f"store-{settings.instance}{separator}",
            make_incarnation=new_emitter,
            trouble=self._trouble,
        )
        registry = Registry(settings.registry_url, settings.registry_ca)
        for close in (*(producer.close for producer in producers), registry.close):
            self._resources.callback(close)
        return lambda pause: open_emitters(
            settings,
            producers,
            registry=registry,
            telemetry=telemetry,
            pause=pause,
            trouble=self._trouble,
            receipts_topic=settings.receipts_topic,
        )

    def _clerk(
        self, telemetry: Telemetry, parts: Parts, acknowledged: AcknowledgementLog
    ) -> Clerk:
        clerk = Clerk(
            parts.desk,
            parts.index,
            open_emitters=self._emitters(telemetry, separator=":"),
            acknowledged=acknowledged,
            notify=lambda ids: self._soon(self._watchers.notify, ids),
        )
        self._resources.push_async_callback(clerk.close)
        return clerk

    def _followers(self, telemetry: Telemetry, index: Index) -> tuple[Follower, Filler]:
        settings = self._settings
        registry = Registry(settings.registry_url, settings.registry_ca)
        self._resources.callback(registry.close)
        followed = Followed(
            kafka=settings.client,
            registry=registry,
            receipts_topic=settings.receipts_topic,
            results_topic=settings.results_topic,
            verdicts=index.verdicts,
            trouble=self._trouble,
        )
        metrics = FollowMetrics(telemetry.meter)
        metrics.watch(index.size_bytes)
        news = News(
            metrics,
            wanted=lambda: len(self._watchers) > 0,
            changed=lambda ids: self._soon(self._watchers.notify, ids),
        )
        self._following = Progress(settings.stall_seconds_max)
        follower = Follower(
            followed, index, news=news, progress=self._following, failed=self._fail
        )
        filler = Filler(
            followed, index, follower=follower, news=news, failed=self._fail
        )
        return follower, filler

    def _serve_health(
        self, telemetry: Telemetry, parts: Parts, follower: Follower
    ) -> None:
        settings, backlog, committer = self._settings, parts.backlog, parts.committer

        def accepts() -> str | None:
            if self._watchers.leaving:
                return "this Store is leaving"
            if not backlog.room():
                return "the backlog is full"
            if (trouble := backlog.trouble()) is not None:
                return trouble
            # With a journal it accepts while Kafka is away: that is what it is for.
            return committer.stalled() if backlog.durable else committer.check()

        if settings.health_port is not None:
            checks = {"accepts": accepts, "follows": follower.check}
            if backlog.durable:
                del checks["follows"]
            health = serve_health(
                settings,
                settings.health_port,
                progress=self._progress,
                checks=checks,
                scrape=telemetry.scrape,
            )
            self._resources.callback(health.close)
            log.info("health", health=health.url)
        self._start(self._beat(committer), "heartbeat")

    def _listening(self, port: int) -> None:
        scheme = "http" if self._settings.tls_cert is None else "https"
        log.info("serving", url=f"{scheme}://{self._settings.host}:{port}")

    async def _beat(self, committer: Committer) -> None:
        """The service moves when the loop and both threads do."""
        while True:
            if not (committer.stalled() or self._following.stalled()):
                self._progress.beat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _renew(self, config: uvicorn.Config) -> None:
        """Take a renewed certificate over for the connections to come."""
        cert, key = self._settings.tls_cert, self._settings.tls_key
        assert cert is not None and key is not None, "see the settings"
        seen = cert.stat().st_mtime
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            with suppress(OSError):  # half way through being replaced
                if cert.stat().st_mtime != seen and config.ssl is not None:
                    config.ssl.load_cert_chain(cert, key)
                    seen = cert.stat().st_mtime
                    log.info("certificate read again", file=str(cert))

    async def _drain(self, parts: Parts) -> None:
        await parts.drain(self._settings.drain_seconds_max)
        log.info("drained", left=len(parts.backlog))

    def _fail(self, error: OnceError) -> None:
        self._failure = self._failure or error  # what follows it is its consequence
        if self._server is not None:
            self._server.should_exit = True

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call, *arguments)

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._resources.callback(task.cancel)

    def _temporary(self) -> Path:
        folder = tempfile.TemporaryDirectory(prefix="once-store-")
        self._resources.callback(folder.cleanup)
        return Path(folder.name) / "index"


def _load(config: uvicorn.Config) -> None:
    """Read certificate and key now. Raises Defect."""
    try:
        config.load()
    except OSError as error:  # ssl's errors, too
        raise Defect(
            f"STORE_TLS_CERT {config.ssl_certfile} and STORE_TLS_KEY "
            f"{config.ssl_keyfile} cannot be used: {error}"
        ) from error
