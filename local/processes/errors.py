"""Errors of the local stack.

StackError           the stack cannot do what was asked; one sentence says why
└── MissingPart      a prerequisite is not on this machine and cannot be installed
"""

from __future__ import annotations


class StackError(RuntimeError):
    """What went wrong and what to do about it, in one sentence."""


class MissingPart(StackError):
    """A program or package that the stack needs is not here."""
