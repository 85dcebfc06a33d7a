"""Notices that the files which a client of Kafka was made with have been replaced.

librdkafka reads keys and certificates when a client is made, and never again. Whoever
renews them (Strimzi, in a mounted Secret) tells nobody: the client would work on until
the old certificate ends. So a client is made anew, between two transactions.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from once import logs

log = logs.get(__name__)

LOOK_SECONDS = 10.0


class Renewal:
    """Looks at a client's files now and then."""

    def __init__(
        self,
        settings: Mapping[str, object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`settings` are librdkafka's: `ssl.ca.location` and its like are read."""
        self._files = sorted(
            Path(str(value))
            for name, value in settings.items()
            if name.startswith("ssl.") and name.endswith(".location")
        )
        self._clock = clock
        self.taken()

    def taken(self) -> None:
        """A client was made of them just now."""
        self._used = self._seen = self._content()
        self._look_at = self._clock() + LOOK_SECONDS

    def due(self) -> bool:
        """Whether a client that is made now would read others.

        Two looks must find the same: a key and its certificate are two files, and a
        person replaces one after the other.
        """
        if not self._files or self._clock() < self._look_at:
            return False
        self._look_at = self._clock() + LOOK_SECONDS
        before, self._seen = self._seen, self._content()
        if self._seen in (None, self._used) or self._seen != before:
            return False
        log.info(
            "a key or certificate was replaced, the next client reads it",
            files=[str(path) for path in self._files],
        )
        return True

    def _content(self) -> bytes | None:
        """A digest of them all; None while one cannot be read."""
        said = hashlib.sha256()
        try:
            for path in self._files:
                if path.is_file():  # authorities may be a folder, and `probe` is none
                    said.update(path.read_bytes())
        except OSError:
            return None
        return said.digest()
