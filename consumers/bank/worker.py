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
from once.errors import Defect, Fenced, Indeterminate, OnceError, Refused
from once.health import HealthServer
from once.telemetry import Telemetry

log = logs.get(__name__)

# A batch makes a few hundred thousand objects and no cycles; looking for cycles among
# them and the remembered accounts took a seventh of the time.
GC_THRESHOLDS = (500_000, 20, 50)
HEALTHY_SECONDS = 10.0  # a session that lasted this long resets the pauses


def run(settings: BankSettings) -> None:
    """Work until SIGTERM or SIGINT. Raises Refused or Defect: a person must act."""
    logs.configure("bank", settings.instance, settings.log_level)
    gc.set_threshold(*GC_THRESHOLDS)
    telemetry = Telemetry.start(
        "bank",
        settings.instance,
        otlp_endpoint=settings.otlp_endpoint,
        metrics=settings.metrics,
    )
    observer = Observer(settings, telemetry)

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
    delays = pauses()
    while not observer.stopping:
        began = time.monotonic()
        try:
            try:
                _session(settings, observer)
            finally:
                gc.collect()  # a session is a cycle, with clients and their threads
        except Stopping:
            return
        except (Refused, Defect):
            raise
        except OnceError as error:
            observer.away(str(error))
            log.warning("session ended, a new one follows", reason=str(error))
            observer.metrics.recycle()
            if isinstance(error, Fenced):
                observer.metrics.fence()
            if isinstance(error, Indeterminate):
                observer.metrics.indeterminate(names.KAFKA)
            if time.monotonic() - began > HEALTHY_SECONDS:
                delays = pauses()
            _pause(next(delays), observer)


def _session(settings: BankSettings, observer: Observer) -> None:
    session = Session(settings, observer)
    try:
        observer.away(None)
        while not observer.stopping:
            session.step()
    except BaseException:
        session.abandon()
        raise
    session.close()


def _pause(seconds: float, observer: Observer) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not observer.stopping:
        observer.progress.beat()
        time.sleep(0.05)  # a signal ends the wait at once; nothing else can
