"""The headers of a record that anybody may have written."""

from __future__ import annotations

from operator import methodcaller
from typing import Any

from confluent_kafka import Message

# Stands for all headers of a record, when one of them has a name that is no UTF-8.
UNREADABLE = "unreadable headers"

# Not `message.headers()`: it returns a list and an exception at once, which Python
# notices when the call comes from C. Its own code looks at the list only, once it has
# run some times (seen on 3.11: a segmentation fault after a hundred records).
_headers: Any = methodcaller("headers")


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Names and values in their order; a name may come twice. It never raises.

    For a name that is not UTF-8 the client hands out a tuple with nothing where the
    name belongs: to touch that ends the process. So the headers of such a record are
    replaced at once, for whoever asks next.
    """
    try:
        found = _headers(message) or []
    except (SystemError, UnicodeDecodeError):
        message.set_headers([(UNREADABLE, None)])
        return [(UNREADABLE, None)]
    pairs = found.items() if isinstance(found, dict) else found
    return [
        (name, value.encode() if isinstance(value, str) else value)
        for name, value in pairs
    ]
