"""Errors of the local stack, a branch of the tree in once/errors.py.

OnceError
└── StackError           the stack cannot do what was asked; one sentence says why
    ├── MissingPart      a prerequisite is not on this machine and cannot be installed
    │   └── Changed      a jar is not the one that is listed (local/stack/jars.py)
    └── Cancelled        a start was given up (local/processes/waiting.py)
"""

from __future__ import annotations

from once.errors import OnceError


class StackError(OnceError):
    """What went wrong and what to do about it, in one sentence."""


class MissingPart(StackError):
    """A program or package that the stack needs is not here."""
