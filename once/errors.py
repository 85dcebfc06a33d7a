"""Every way a call can end badly, in one tree, decided in this one place.

    OnceError
    ├── Retriable        nothing happened; try again after a pause
    │   ├── Conflict     another writer was there first; redo from a fresh read
    │   └── Denied       we are not let in: a wrong name or password, or a new one
    ├── Abortable        the Kafka transaction was aborted; the same records may be sent
    ├── Indeterminate    the outcome is unknown: never failed, never done; look it up
    ├── Fenced           somebody else owns the work now; drop all state
    │   └── Rival        somebody sends under our name
    ├── Refused          a person must decide; the message says what to do
    ├── Stumbled         these records broke the work; others may not: find out which
    └── Defect           a mistake in this program or its deployment; stop

The tree is by what the caller may do, not by what went wrong below. Each adapter says
what its library's errors are in it (`once.kafka.from_kafka`,
`once.postgres.from_postgres`); the rest of the code catches only these.
"""

from __future__ import annotations

from enum import IntEnum

from once.redact import printable, redacted


class OnceError(Exception):
    """Base of the tree; its message is one sentence for a person.

    It is logged, printed and answered to probes: no password stays in it, whoever
    made it, and nothing that a terminal would obey.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(redacted(message), kept="\n"))


class Retriable(OnceError):
    """Nothing happened; the same call may succeed after a pause."""


class Conflict(Retriable):
    """Another writer was there first; decide again from a fresh read."""


class Denied(Retriable):
    """The server does not let us in; a rotated password may be read in a moment."""


class Abortable(OnceError):
    """The Kafka transaction has no effect; its records may be sent again."""


class Indeterminate(OnceError):
    """The outcome is unknown and must be looked up."""


class Fenced(OnceError):
    """Another process owns the partitions or the transactional id."""


class Rival(Fenced):
    """Another process sends under our transactional id."""


class Refused(OnceError):
    """Going on could lose or repeat money; a person must decide.

    `partition` is the one that it is about; None: everything.
    """

    def __init__(self, message: str = "", partition: int | None = None) -> None:
        super().__init__(message)
        self.partition = partition


class Stumbled(OnceError):
    """The work failed over the records it was given, in a way that nobody foresaw."""


class Defect(OnceError):
    """A mistake in the program, its settings or its deployment."""


class ExitStatus(IntEnum):
    """How a program ends; from 65 on as in sysexits.h."""

    DONE = 0
    NOT_ALL = 1  # what was asked for was done in part, or does not hold
    REFUSED = 65  # a person must decide
    IN_DOUBT = 70  # start it again
    DEFECT = 78  # starting it again changes nothing
    INTERRUPTED = 130


def exit_status(error: OnceError) -> ExitStatus:
    """What a program that ends with this error tells its caller."""
    if isinstance(error, Refused):
        return ExitStatus.REFUSED
    return ExitStatus.DEFECT if isinstance(error, Defect) else ExitStatus.IN_DOUBT
