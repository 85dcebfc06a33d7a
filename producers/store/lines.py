"""Reads transfers from lines of JSON; a line that is none is reported, not fatal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pydantic import ValidationError

from producers.store.transfers import Chunk, ClientLine, TransferLine, repeated_field

LINE_BYTES_MAX = 4_096


def chunks(
    lines: Iterable[bytes], records_max: int, reject: Callable[[int, str], None]
) -> Iterator[Chunk]:
    """Chunks of the good lines; `reject(line number, what is wrong)` for each other."""
    good: list[TransferLine] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(line) > LINE_BYTES_MAX:
            reject(number, f"{len(line)} bytes, allowed are {LINE_BYTES_MAX}")
            continue
        try:
            found = ClientLine.model_validate_json(line)
        except ValidationError as error:
            reject(number, _sentence(error))
            continue
        repeated = repeated_field(line, found)
        if repeated is not None:
            reject(number, f"{repeated}: is there more than once")
            continue
        good.append(found)
        if len(good) == records_max:
            yield Chunk.of(good)
            good = []
    if good:
        yield Chunk.of(good)


def _sentence(error: ValidationError) -> str:
    """All that is wrong with one line, field by field, without quoting it whole."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'line'}: {each['msg']}"
        for each in error.errors(include_url=False, include_input=False)
    )
