"""The headers of a record that anybody may have written."""

from __future__ import annotations

from confluent_kafka import Message

# Stands for all headers of a record, when one of them has a name that is no UTF-8.
UNREADABLE = "unreadable headers"


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """Names and values in their order; a name may come twice. It never raises.

    For a name that is not UTF-8 the client raises SystemError, and from then on hands
    out tuples with nothing where the name belongs: to touch that is a segmentation
    fault. So they are replaced at once, for whoever asks next.
    """
    try:
        found = message.headers() or []
    except (SystemError, UnicodeDecodeError):
        message.set_headers([(UNREADABLE, None)])
        return [(UNREADABLE, None)]
    pairs = found.items() if isinstance(found, dict) else found
    return [
        (name, value.encode() if isinstance(value, str) else value)
        for name, value in pairs
    ]
