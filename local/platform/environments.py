"""What each program may know: its own settings, and nobody else's passwords.

Decided where programs are started, by the words of their command line: for run.py,
the demo, the load tests and the tests alike. What is set in our own environment for
another program is not handed on either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Every setting begins with the name of the program that reads it.
PROGRAMS = ("ONCE_", "BANK_", "STORE_", "AUDIT_", "PEEK_", "SMOKE_", "REPLAY_")
# No program's own, and no secret: where secrets and the stack's state lie.
COMMON = ("ONCE_SECRETS_DIR", "ONCE_REFUSE_ROOT", "ONCE_STATE_DIR")
OWNER = "ONCE_MIGRATOR_CONNINFO"

# A command by its first words, the longest first, and how what it reads begins.
_READS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("consumers.bank", "quarantine"), ("BANK_", OWNER)),
    (("consumers.bank",), ("BANK_",)),
    (("consumers.bank.audit",), ("AUDIT_",)),
    (("consumers.bank.replay",), ("REPLAY_",)),
    (("consumers.console",), ("PEEK_",)),
    (("producers.store", "smoke"), ("SMOKE_",)),
    (("producers.store",), ("STORE_",)),
    (("once",), ("ONCE_",)),
)
# What begins like that and is not for this command all the same.
_EXCEPT: dict[tuple[str, ...], tuple[str, ...]] = {
    ("consumers.bank", "quarantine"): ("BANK_CONNINFO",),
    ("once", "register"): (OWNER,),
    ("once", "topics"): (OWNER,),
}


def for_program(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """The part of an environment that `python -m *arguments` gets.

    A program that is none of ours gets all: who starts it knows why.
    """
    for words, reads in _READS:
        if tuple(arguments[: len(words)]) == words:
            refused = _EXCEPT.get(tuple(arguments[:2]), ())
            return {
                name: value
                for name, value in environment.items()
                if not name.startswith(PROGRAMS)
                or name in COMMON
                or (name.startswith(reads) and name not in refused)
            }
    return dict(environment)
