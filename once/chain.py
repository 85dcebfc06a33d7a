"""The hash chain over what was decided: anyone with the log can recompute it.

Per partition, for batch n of `count` records:

    h(n) = sha256(h(n-1) || count || offsets || lengths || values || verdicts)

count is 8 bytes; offsets and lengths are 8 bytes each, big-endian (a null value has
length -1); verdicts are one byte each. The lengths make the input unambiguous, the
columns make it cheap. h(0) is 32 zero bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

HASH_BYTES = 32
GENESIS = bytes(HASH_BYTES)


def link(
    previous: bytes,
    offsets: Sequence[int],
    values: Sequence[bytes | None],
    verdicts: Sequence[int],
) -> bytes:
    """h(n) from h(n-1) and the records of batch n, all in offset order."""
    count = len(offsets)
    assert count == len(values) == len(verdicts), "one verdict and value per offset"
    lengths = [-1 if value is None else len(value) for value in values]
    digest = hashlib.sha256(previous)
    digest.update(count.to_bytes(8, "big"))
    digest.update(np.array(offsets, ">i8").tobytes())
    digest.update(np.array(lengths, ">i8").tobytes())
    digest.update(b"".join(value for value in values if value is not None))
    digest.update(bytes(verdicts))
    return digest.digest()
