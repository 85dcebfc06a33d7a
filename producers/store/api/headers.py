"""What every answer says to browsers and caches, from whatever layer it comes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Header = tuple[bytes, bytes]

NOTHING_ELSE: Final = "default-src 'none'; frame-ancestors 'none'"
_COMMON: Final[tuple[Header, ...]] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", NOTHING_ELSE.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_TLS: Final[Header] = (b"strict-transport-security", b"max-age=31536000")


def completed(headers: Iterable[Header], secure: bool) -> list[Header]:
    """These headers, and those of the common ones that they do not have."""
    found = list(headers)
    names = {name for name, _ in found}
    found += [header for header in _COMMON if header[0] not in names]
    if secure:
        found.append(_TLS)
    return found
