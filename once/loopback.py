"""What is on this machine is never asked for through a proxy.

HTTP_PROXY, HTTPS_PROXY and ALL_PROXY of an office laptop or a CI runner are for what
lies outside; a proxy cannot reach our 127.0.0.1. Whoever makes a client of httpx for
such an address gives it `trust_env=not is_loopback(url)`: a proxy that httpx cannot
speak to, such as SOCKS, would be an error even where it is not used. For all other
libraries, and for programs that we start, there is `spare`.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from ipaddress import ip_address
from urllib.parse import urlsplit

HOSTS = ("127.0.0.1", "localhost", "::1")


def is_loopback(url: str) -> bool:
    """Whether the address of this URL is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def spare(environment: MutableMapping[str, str] = os.environ) -> None:
    """Name this machine in NO_PROXY, in both spellings, beside what is there.

    Where both are set programs differ in which one they heed.
    """
    for name in ("NO_PROXY", "no_proxy"):
        named = [each.strip() for each in environment.get(name, "").split(",")]
        if named != ["*"]:
            more = [host for host in HOSTS if host not in named]
            environment[name] = ",".join(filter(None, [*named, *more]))
