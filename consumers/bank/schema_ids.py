"""Schemas by the id that a record names, and how long an unknown id is waited for.

Quarantine is for good, and a registry may learn of an id some seconds later than a
producer: a replica that lags behind, one that was just restored. So a young unknown id
is asked for again, while the group is kept, before its records are condemned. Garbage
names ids that never existed: the patience for the next one halves with each that was
waited for in vain, so that what is lost to garbage stays within twice the patience.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import fastavro

from once.errors import Retriable
from once.registry import Registry, UnknownSchema
from once.schemas import UnusableSchema, unresolvable

IDS_WAITED_FOR_MAX = 16  # at once; more are garbage
VAIN_SECONDS = 600.0  # after so long without one waited for in vain, all is forgiven
HALVINGS_MAX = 30  # then nothing is left of it
UNKNOWN_SECONDS = 1.0  # an id that was condemned is not asked for again for so long
REMEMBERED_MAX = 100_000


class SchemaIds:
    """Writer's schemas by id, each judged when it is met for the first time."""

    def __init__(
        self,
        registry: Registry,
        readers: Sequence[dict[str, Any]],
        beat: Callable[[], None],
        patience_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Every schema must be readable as the one of `readers` that has its name, or
        as the first one; they are parsed JSON."""
        self._registry = registry
        self._readers = {str(each["name"]): each for each in reversed(readers)}
        self._first = readers[0]
        self._beat = beat
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._usable: dict[int, Any] = {}
        self._unusable: dict[int, UnusableSchema] = {}
        self._unknown: dict[int, tuple[float, UnknownSchema]] = {}  # asked again when
        self._waited_since: dict[int, float] = {}
        self._vain: list[float] = []  # when a wait ended in vain
        self._asked: dict[int, UnknownSchema] = {}  # of this batch, and unknown

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around the `writer` calls of one batch.

        Raises Retriable at its end when some of the unknown ids are worth a wait.
        """
        self._asked.clear()
        yield
        young = self._young()
        if young:
            raise Retriable(
                f"schema id {', '.join(map(str, young))} is not in the registry (yet): "
                f"asked again for {self._patience():.1f} s before it is condemned"
            )
        now = self._clock()
        for schema_id, error in self._asked.items():
            if self._waited_since.pop(schema_id, None) is not None:
                self._vain.append(now)
            self._unknown[schema_id] = (now + UNKNOWN_SECONDS, error)

    def writer(self, schema_id: int) -> Any:
        """The schema, fit for fastavro.

        Raises UnknownSchema, UnusableSchema, Retriable (the registry is away).
        """
        usable = self._usable.get(schema_id)
        if usable is not None:
            return usable
        unusable = self._unusable.get(schema_id) or self._still_unknown(schema_id)
        if unusable is not None:
            raise unusable.with_traceback(None)
        self._beat()
        self._forget()
        try:
            self._usable[schema_id] = self._judged(schema_id)
        except UnknownSchema as error:
            self._asked[schema_id] = error
            raise
        except UnusableSchema as error:
            self._unusable[schema_id] = error
            raise
        self._waited_since.pop(schema_id, None)
        return self._usable[schema_id]

    def _judged(self, schema_id: int) -> Any:
        schema = self._registry.usable_schema(schema_id)
        name = schema["name"] if isinstance(schema, dict) and "name" in schema else ""
        reader = self._readers.get(str(name).rpartition(".")[2], self._first)
        why = unresolvable(schema, reader)
        if why is not None:
            raise UnusableSchema(why)
        return fastavro.parse_schema(schema)

    def _still_unknown(self, schema_id: int) -> UnknownSchema | None:
        if schema_id in self._asked:
            return self._asked[schema_id]
        until, error = self._unknown.get(schema_id, (0.0, None))
        return error if self._clock() < until else None

    def _young(self) -> list[int]:
        """The unknown ids of this batch that may yet become known."""
        if len(self._asked) > IDS_WAITED_FOR_MAX:
            return []
        now, patience = self._clock(), self._patience()
        since = [(i, self._waited_since.setdefault(i, now)) for i in self._asked]
        return [schema_id for schema_id, began in since if now - began < patience]

    def _patience(self) -> float:
        now = self._clock()
        recent = [at for at in self._vain if now - at < VAIN_SECONDS]
        self._vain = recent[-HALVINGS_MAX:]
        return float(self._patience_seconds / 2 ** len(self._vain))

    def _forget(self) -> None:
        """Ids come from strangers: what is remembered of them is bounded."""
        for remembered in (self._usable, self._unusable, self._unknown):
            if len(remembered) > REMEMBERED_MAX:
                remembered.clear()
