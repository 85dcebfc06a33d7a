"""Notices that the files which a client of Kafka was made with have been replaced.

librdkafka reads keys and certificates when a client is made, and never again. Whoever
renews them (Strimzi, in a mounted Secret) tells nobody: the client would work on until
the old certificate ends. So a client is made anew, between two transactions; not with
files that cannot be used, since the old ones still can.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from once import logs

log = logs.get(__name__)

LOOK_SECONDS = 10.0
PROBE = "probe"  # librdkafka's word for: look where authorities usually are


class Renewal:
    """Looks at a client's files now and then."""

    def __init__(
        self,
        settings: Mapping[str, object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`settings` are librdkafka's: `ssl.ca.location` and its like are read."""
        self._settings = {
            name: str(value)
            for name, value in settings.items()
            if name.startswith("ssl.")
        }
        self._files = sorted(
            Path(value)
            for name, value in self._settings.items()
            if name.endswith(".location") and value != PROBE
        )
        self._clock = clock
        self._unusable: bytes | None = None
        self._used = self._seen = self._told = self._content()
        self._look_at = self._clock() + LOOK_SECONDS

    def taken(self) -> None:
        """A client is being made of them just now, for whatever reason."""
        self._used = self._seen = self._content()
        self._look_at = self._clock() + LOOK_SECONDS
        self._tell()

    def due(self) -> bool:
        """Whether a client that is made now would read others.

        Two looks must find the same: a key and its certificate are two files, and a
        person replaces one after the other.
        """
        if not self._files or self._clock() < self._look_at:
            return False
        self._look_at = self._clock() + LOOK_SECONDS
        before, self._seen = self._seen, self._content()
        if self._seen in (None, self._used, self._unusable) or self._seen != before:
            return False
        if (trouble := self._trouble()) is not None:
            self._unusable = self._seen  # said once, and asked again when they change
            log.error(
                "a key or certificate was replaced and cannot be used, going on with "
                "the old one",
                error=trouble,
            )
            return False
        self._tell()
        return True

    def _tell(self) -> None:
        """Once for each pair: also of one that is read for another reason."""
        if self._seen in (None, self._told):
            return
        self._told = self._seen
        log.info(
            "a key or certificate was replaced, the next client reads it",
            files=[str(path) for path in self._files],
        )

    def _content(self) -> bytes | None:
        """A digest of them all; None while one cannot be read."""
        said = hashlib.sha256()
        try:
            for path in self._files:
                if not path.is_dir():  # of authorities there may be a folder
                    said.update(path.read_bytes())
        except OSError:
            return None
        return said.digest()

    def _trouble(self) -> str | None:
        """What is wrong with them, as far as one can tell without a broker."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        certificate = self._settings.get("ssl.certificate.location")
        authority = self._settings.get("ssl.ca.location", PROBE)
        try:
            if certificate is not None:
                context.load_cert_chain(
                    certificate,
                    self._settings.get("ssl.key.location"),
                    self._settings.get("ssl.key.password", ""),
                )
            if Path(authority).is_file():
                context.load_verify_locations(authority)
        except OSError as error:  # ssl's errors, too
            return f"{error}: {', '.join(map(str, self._files))}"
        return None
