"""A demo has no tokens, so it believes nobody but this machine's own pages.

Every page that is open in a browser here can send to loopback, and a name that somebody
else owns can be made to mean it (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from producers.store.problems import Kind, Problem


def foreign(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises Problem for a request that is not from this machine, by its headers."""
    for name, value in headers:
        text = value.decode("latin-1")
        if name == b"host" and not is_of_this_machine(text):
            raise _refused(f"The host {text!r} is not this machine.")
        if name == b"origin" and not is_of_this_machine(urlsplit(text).netloc):
            raise _refused(f"A page of {text!r} may not ask here.")
        if name == b"sec-fetch-site" and text == "cross-site":
            raise _refused("A page of another site may not ask here.")


@lru_cache(1_024)
def is_of_this_machine(host: str) -> bool:
    """Whether host[:port] can only be this machine: loopback, or a name without a dot,
    which nobody can own."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").rstrip(".").lower()
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return bool(name) and ("." not in name or name.endswith(".localhost"))


def _refused(detail: str) -> Problem:
    return Problem(Kind.FOREIGN_PAGE, detail)
