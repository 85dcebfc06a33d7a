"""Looks for bytes and schemas that the Bank's codec cannot bear, guided by coverage.

    python -m tests.fuzz.fuzz_codec -max_total_time=60 [corpus folder]

Whatever a stranger writes must end in columns of ints, bytes and strs or in a fault, in
time: an exception, a crash or ten seconds for one input are findings. libFuzzer keeps
the input in a file crash-... or timeout-... and ends with another status than 0.
"""

from __future__ import annotations

import json
import sys

import atheris

with atheris.instrument_imports(include=["consumers.bank", "once", "fastavro"]):
    from consumers.bank.codec import TransferCodec
    from once import resources
    from once.registry import Registry, frame, load_schema

from tests.contract.registry_server import Schema, serving

OURS = load_schema(resources.find("avro/transfer.avsc"))
SCHEMAS_KEPT_MAX = 1_000
SECONDS_MAX = 10


class Target:
    """One codec on a registry that learns a schema with every other input."""

    def __init__(self, url: str, schemas: dict[int, Schema]) -> None:
        self._schemas = schemas
        self._registry = Registry(url)
        self._url = url
        self._codec = self._fresh()
        self._last = 1

    def _fresh(self) -> TransferCodec:
        self._registry.close()
        self._registry = Registry(self._url)
        return TransferCodec(self._registry, "transfers-value")

    def __call__(self, data: bytes) -> None:
        take = atheris.FuzzedDataProvider(data)
        number = 1 if take.ConsumeBool() else self._register(take)
        key = take.ConsumeBytes(take.ConsumeIntInRange(0, 12))
        body = take.ConsumeBytes(take.remaining_bytes())
        columns, faults = self._codec.decode([frame(number) + body, body], [key, None])
        for name, column in columns.items():
            for row, value in enumerate(column):
                assert value is None or type(value) in (int, bytes, str), name
                assert value is not None or name == "emitter" or row in faults, name

    def _register(self, take: atheris.FuzzedDataProvider) -> int:
        """A schema that a stranger may have: ours, damaged, or any text."""
        if len(self._schemas) > SCHEMAS_KEPT_MAX:
            for known in list(self._schemas)[1:]:
                del self._schemas[known]
            self._codec = self._fresh()
        self._last += 1
        text = json.dumps(OURS)
        at = take.ConsumeIntInRange(0, len(text))
        put = take.ConsumeUnicodeNoSurrogates(take.ConsumeIntInRange(0, 120))
        cut = take.ConsumeIntInRange(0, 60)
        self._schemas[self._last] = text[:at] + put + text[at + cut :]
        return self._last


def main() -> None:
    schemas: dict[int, Schema] = {1: OURS}
    with serving(schemas) as url:
        target = Target(url, schemas)
        arguments = [*sys.argv, f"-timeout={SECONDS_MAX}", "-max_len=4096"]
        atheris.Setup(arguments, target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
