"""A worker: sessions one after the other, until a signal or a person is needed."""

from __future__ import annotations

import gc
import signal
import time
from types import FrameType

from consumers.bank.observe import Observer, Stopping
from consumers.bank.session import Session
from consumers.bank.settings import BankSettings
from once import logs, names
from once.backoff import pauses
from once.errors import (
    Defect,
    Denied,
    Fenced,
    Indeterminate,
    OnceError,
    Refused,
    Rival,
    Stumbled,
)
from once.health import HealthServer, Progress
from once.renewal import Renewal
from once.telemetry import Telemetry
from once.watchdog import Watchdog

log = logs.get(__name__)

# A batch makes a few hundred thousand objects and no cycles; looking for cycles among
# them and the remembered accounts took a seventh of the time.
GC_THRESHOLDS = (500_000, 20, 50)
HEALTHY_SECONDS = 10.0  # a session that lasted this long resets the pauses
FROZEN_SECONDS_MIN = 60.0  # a process that was stopped for less goes on
# More often than this, and another living worker has our name.
RIVALS_MAX, RIVAL_SECONDS = 3, 60.0


def run(settings: BankSettings, pulse_fd: int | None = None) -> None:
    """Work until SIGTERM or SIGINT. Raises Refused or Defect: a person must act.

    `pulse_fd` is written to while there is progress: a supervisor reads it.
    """
    logs.configure("bank", settings.instance, settings.log_level)
    gc.set_threshold(*GC_THRESHOLDS)
    telemetry = Telemetry.start(
        "bank",
        settings.instance,
        otlp_endpoint=settings.otlp_endpoint,
        metrics=settings.metrics,
    )
    progress = Progress(settings.stall_seconds_max)
    watchdog = Watchdog(
        max(FROZEN_SECONDS_MIN, 2 * settings.stall_seconds_max),
        progress.stalled,
        pulse_fd,
    )
    watchdog.start()
    observer = Observer(settings, telemetry, progress, watchdog.within)

    def stop(signum: int, frame: FrameType | None) -> None:
        observer.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with HealthServer(
        observer.progress,
        observer.checks(),
        telemetry.scrape,
        settings.health_host,
        settings.health_port,
    ) as health:
        log.info("bank worker started", health=health.url, topic=settings.topic)
        try:
            _sessions(settings, observer)
        finally:
            telemetry.shutdown()
    log.info("bank worker left cleanly")


def _sessions(settings: BankSettings, observer: Observer) -> None:
    delays, renewal = pauses(), Renewal(settings.client)
    rivals = Rivals(settings.instance)
    while not observer.stopping:
        began = time.monotonic()
        try:
            try:
                _session(settings, observer, renewal)
            finally:
                gc.collect()  # a session is a cycle, with clients and their threads
        except Stopping:
            return
        except Exception as error:
            _judge(error, observer)
            rivals.note(error)
        if time.monotonic() - began > HEALTHY_SECONDS:
            delays = pauses()
        _pause(next(delays), observer)


def _judge(error: Exception, observer: Observer) -> None:
    """A session that ended is no news; how often they do is.

    Raises what a person must act upon: Refused (of more than a partition) and Defect.
    """
    if isinstance(error, Defect):
        raise error
    if isinstance(error, Denied) and not observer.worked:
        raise Defect(f"{error}; look at BANK_CONNINFO") from error
    observer.metrics.recycle()
    if isinstance(error, Refused):
        if error.partition is None:
            raise error
        observer.refusals.refuse(error.partition, str(error), final=True)
        return
    observer.away(str(error) if isinstance(error, OnceError) else repr(error))
    if isinstance(error, Stumbled):
        log.error("the session fell over its records", reason=str(error))
    elif isinstance(error, OnceError):
        log.warning("session ended, a new one follows", reason=str(error))
    else:
        log.error("the session fell over", exc_info=error)
    if isinstance(error, Fenced):
        observer.metrics.fence()
    if isinstance(error, Indeterminate):
        observer.metrics.indeterminate(names.KAFKA)


class Rivals:
    """Notices another living Bank of our name: each throws the other out for ever."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._times: list[float] = []

    def note(self, error: Exception) -> None:
        """Raises Refused when it has happened too often."""
        if not isinstance(error, Rival):
            return
        now = time.monotonic()
        self._times = [at for at in self._times if now - at < RIVAL_SECONDS] + [now]
        if len(self._times) > RIVALS_MAX:
            raise Refused(
                f"another Bank sends as bank-{self._instance}; give each worker its "
                f"own BANK_INSTANCE ({error}); see docs/runbooks/bank-not-ready.md"
            )


def _session(settings: BankSettings, observer: Observer, renewal: Renewal) -> None:
    renewal.taken()
    session = Session(settings, observer)
    try:
        observer.away(None)
        observer.worked = True
        while not observer.stopping and not renewal.due():
            session.step()
    except BaseException as error:
        if isinstance(error, Stumbled) or not isinstance(error, OnceError | Stopping):
            observer.care.blame()
        session.abandon()
        raise
    session.close()


def _pause(seconds: float, observer: Observer) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not observer.stopping:
        observer.progress.beat()
        time.sleep(0.05)  # a signal ends the wait at once; nothing else can
