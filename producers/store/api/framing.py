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

    def cut(self, data: bytes, at: int = 0) -> int:
        """Where the piece of `data` ends that begins at `at`.

        Nothing is copied: a body may be full of blank lines.
        """
        if self._left is not None:
            end = min(len(data), at + self._left)
            self._left -= end - at
            return end
        before, size = self._before, len(BLANK_LINE)
        blank = (before + data[at : at + size - 1]).find(BLANK_LINE)
        if blank >= 0:
            end = at + blank + size - len(before)
        else:
            blank = data.find(BLANK_LINE, at)
            end = blank + size if blank >= 0 else len(data)
        last = data[max(at, end - size + 1) : end]
        self._before = b"" if blank >= 0 else (before + last)[1 - size :]
        return end


def examined(
    method: bytes, version: str, headers: Headers
) -> tuple[Problem | None, int | None]:
    """What is wrong with a head (RFC 9110, RFC 9112), and how long its body is.

    llhttp has found its lengths good. None: it comes in chunks.
    """
    if version not in ("1.1", "1.0"):
        return Problem(Kind.OLD_HTTP, f"HTTP/{version} is not spoken here."), 0
    if method == b"CONNECT":
        return Problem(Kind.NOT_IMPLEMENTED, "This is no proxy."), 0
    length: int | None = 0
    seen: set[bytes] = set()
    for name, value in headers:
        if name not in _ONCE:
            continue
        if name in seen:
            detail = f"There are two headers {name.decode()}."
            return Problem(Kind.BAD_REQUEST, detail), 0
        seen.add(name)
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            length = None
        problem = _fault(version, name, value)
        if problem is not None:
            return problem, 0
    if b"host" not in seen and version == "1.1":
        return Problem(Kind.BAD_REQUEST, "The header host is missing."), 0
    return None, length


def _fault(version: str, name: bytes, value: bytes) -> Problem | None:
    if name == b"host" and not _HOST.fullmatch(value):
        return Problem(Kind.BAD_REQUEST, "The header host is no host.")
    if name == b"content-encoding" and value.lower() != b"identity":
        detail = "No Content-Encoding: nothing is unpacked here."
        return Problem(Kind.UNSUPPORTED_MEDIA_TYPE, detail)
    if name == b"transfer-encoding" and version == "1.0":  # RFC 9112, 6.1
        return Problem(Kind.BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding.")
    if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
        detail = "The only Transfer-Encoding is chunked."
        return Problem(Kind.NOT_IMPLEMENTED, detail)
    return None
