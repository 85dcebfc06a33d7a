"""Where one request ends and the next begins, and which heads are none.

Everything that two parsers have ever understood in two ways is refused here, or by
llhttp before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from producers.store.problems import Kind, Problem

Headers = Sequence[tuple[bytes, bytes]]

BLANK_LINE = b"\r\n\r\n"
# Those of which two would be a question: which one counts?
_ONCE = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"origin",
        b"request-timeout",
        b"transfer-encoding",
    )
)
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%\[\]:-]*")


class Cutter:
    """Cuts what comes into pieces, none of which reaches into the next request.

    A head ends with a blank line, a body after its length; chunks end with a blank
    line, too, and one within a chunk only makes one piece more.
    """

    def __init__(self) -> None:
        self._left: int | None = None  # of a body with a length
        self._before = b""  # the last bytes of the piece before: half a blank line

    def body(self, length: int | None) -> None:
        """A head was complete, and this is the length of its body (None: chunks)."""
        self._left = length

    def head(self) -> None:
        """A message was complete: what comes is a head."""
        self._left, self._before = None, b""

    def cut(self, data: bytes) -> tuple[bytes, bytes]:
        """The next piece, and the rest."""
        if self._left is not None:
            piece, rest = data[: self._left], data[self._left :]
            self._left -= len(piece)
            return piece, rest
        before = self._before
        at = (before + data).find(BLANK_LINE)
        end = len(data) if at < 0 else at + len(BLANK_LINE) - len(before)
        piece, rest = data[:end], data[end:]
        self._before = b"" if at >= 0 else (before + piece)[1 - len(BLANK_LINE) :]
        return piece, rest


def length_of(headers: Headers) -> int | None:
    """The length of the body behind this head, which llhttp has found good.

    None: it comes in chunks.
    """
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            return int(value)
    return 0


def fault(method: bytes, version: str, headers: Headers) -> Problem | None:
    """What is wrong with a head (RFC 9110, RFC 9112), None: nothing."""
    if version not in ("1.1", "1.0"):
        return Problem(Kind.OLD_HTTP, f"HTTP/{version} is not spoken here.")
    if method == b"CONNECT":
        return Problem(Kind.NOT_IMPLEMENTED, "This is no proxy.")
    seen: set[bytes] = set()
    for name, value in headers:
        if name in _ONCE:
            if name in seen:
                said = name.decode()
                return Problem(Kind.BAD_REQUEST, f"There are two headers {said}.")
            seen.add(name)
            if name == b"host" and not _HOST.fullmatch(value):
                return Problem(Kind.BAD_REQUEST, "The header host is no host.")
            if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
                said = "The only Transfer-Encoding is chunked."
                return Problem(Kind.NOT_IMPLEMENTED, said)
    if b"host" not in seen and version == "1.1":
        return Problem(Kind.BAD_REQUEST, "The header host is missing.")
    return None
