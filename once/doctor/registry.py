"""Whether the registry knows our schemas, and lets nobody break them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from once import resources
from once.doctor.report import Finding, Level, good
from once.errors import Defect
from once.registry import COMPATIBILITY, Registry, load_schema

REGISTER = "make register"


class _Asked(Registry):
    """A registry that is asked what programs never need to know."""

    def compatibility(self, subject: str) -> str:
        """The mode in force for a subject, its own or the registry's. Raises Defect."""
        answer = self._call("GET", f"/config/{subject}?defaultToGlobal=true")
        return str(self._json(answer).get("compatibilityLevel", "not set"))


def check_registry(
    url: str, ca: Path | None, schemas: Mapping[str, str]
) -> Iterator[Finding]:
    """Each subject with its schema's file. Raises Retriable (away), Defect."""
    registry = _Asked(url, ca)
    try:
        for subject, file in schemas.items():
            yield from _check_subject(registry, subject, file)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Defect("what answers is no registry") from error
    finally:
        registry.close()


def _check_subject(registry: _Asked, subject: str, file: str) -> Iterator[Finding]:
    check = f"subject {subject}"
    try:
        number = registry.id_of(subject, load_schema(resources.find(file)))
    except Defect as error:
        yield Finding(check, Level.DEFECT, str(error), f"the schema {file}", REGISTER)
        return
    try:
        mode = registry.compatibility(subject)
    except Defect as error:
        mode = str(error)
    if mode == COMPATIBILITY:
        yield good(check, f"id {number}, {mode}")
    else:
        yield Finding(check, Level.WARNING, mode, COMPATIBILITY, REGISTER)
