"""NDJSON in pieces: lines from a body as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

LINE_BYTES_MAX = 16_384

Line = tuple[int, bytes | None]  # number from 1; None: too long


async def read_lines(body: AsyncIterator[bytes]) -> AsyncGenerator[list[Line]]:
    """The lines of each piece of the body that are complete with it; none is empty.

    A line that is too long is passed over in constant memory.
    """
    number, rest, too_long = 0, b"", False
    async for piece in body:
        *complete, rest = (rest + piece).split(b"\n")
        lines: list[Line] = []
        for raw in complete:
            number += 1
            if too_long or len(raw) > LINE_BYTES_MAX:
                lines.append((number, None))
                too_long = False
            elif raw.strip():
                lines.append((number, raw))
        if len(rest) > LINE_BYTES_MAX:
            rest, too_long = b"", True
        if lines:
            yield lines
    if too_long:
        yield [(number + 1, None)]
    elif rest.strip():
        yield [(number + 1, rest)]
