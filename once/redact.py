"""What nobody must read in a log, a health answer or an error, and how texts are shown.

`redacted` takes passwords out of a text in the forms in which they get there: in a URL,
in libpq's and Kafka's settings, as a bearer token. It is a net beneath those who make
the sentence: a client that knows its password does not name it in the first place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"

_SECRET = r"(?:password|passwd|secret|token|api[-_.]?key|jaas\.config|key\.pem)"
# A quoted one may have been cut off before its end.
_VALUE = r"""(?:"(?:[^"\\]|\\.)*(?:"|$)|'(?:[^'\\]|\\.)*(?:'|$)|[^\s,;&"'}\])]+)"""
_RULES = (
    # scheme://user:password@host; a password may have an @ of its own.
    (re.compile(r"(?<=://)[^/?#\s]*@"), f"{HIDDEN}@"),
    # password=..., sasl.password=..., access_token=...
    (re.compile(rf"({_SECRET}\s*=\s*){_VALUE}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # "sasl.password": "...", as JSON and Python write it
    (
        re.compile(rf"""({_SECRET}\\?["']\s*:\s*){_VALUE}""", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(Bearer\s+)[\w.~+/=-]{16,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), HIDDEN),
    # libpq quotes what it cannot read of a connection string: half a password.
    (re.compile(r'(missing "=" after )"[^"]*"'), rf'\1"{HIDDEN}"'),
)
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)


def redacted(text: str) -> str:
    """The text without passwords and tokens."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def is_secret(name: str) -> bool:
    """Whether a setting of this name is nobody's business."""
    return _SECRET_NAME.search(name) is not None


def without_secrets_of(settings: Mapping[str, Any], text: str) -> str:
    """The text without the values of those settings that are secret by their name."""
    for name, value in settings.items():
        if is_secret(name) and str(value):
            text = text.replace(str(value), HIDDEN)
    return redacted(text)


def printable(text: str, *, kept: str = "") -> str:
    """The text with controls and directions escaped, other than those in `kept`."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode()
        for c in text
    )
