"""One dialect, whoever wrote it: how docs/contributing.md says that things are written.

Sorted imports and `from __future__ import annotations` are isort's (`make lint`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.house.tree import Module, functions, module, modules

# What is being cleaned elsewhere at the moment; to be removed with that.
NOT_YET = {"local"}

POSITIONAL_MAX = 5
COMMAND = re.compile(r"(Returns?|Yields?|Gets?)\b")  # a docstring says what, not how
SHORT_UNIT = re.compile(r"_?[A-Z0-9_]+_S")
LOGGERS = re.compile(r"(logs\.get|(structlog|logging)(\.\w+)*\.get_?[lL]ogger)")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

Rule = Callable[[Module], Iterator[int]]


def docstrings_that_command(of: Module) -> Iterator[int]:
    for node in ast.walk(of.tree):
        if isinstance(node, DOCUMENTED):
            if COMMAND.match(ast.get_docstring(node) or ""):
                yield node.body[0].lineno


def short_units(of: Module) -> Iterator[int]:
    """Of constants, and of what product code is told; a local name may be short."""
    for node in ast.walk(of.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            if SHORT_UNIT.fullmatch(node.id):
                yield node.lineno
        elif isinstance(node, ast.arg) and of.is_product:
            if node.arg.endswith("_s"):
                yield node.lineno


def loggers_of_another_kind(of: Module) -> Iterator[int]:
    """Those that a module keeps; a library's may be set up by its name."""
    for node in of.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = LOGGERS.fullmatch(ast.unparse(node.value.func))
            if made and ast.unparse(node) != "log = logs.get(__name__)":
                yield node.lineno


def parameters_that_can_be_mixed_up(of: Module) -> Iterator[int]:
    """More than five positional ones; of a test they are fixtures, of a CLI options."""
    for function in functions(of):
        given = function.args.posonlyargs + function.args.args
        names = [each.arg for each in given if each.arg not in ("self", "cls")]
        told = [ast.unparse(each) for each in function.decorator_list]
        by_name = any(re.search(r"fixture|\.command\(|\.callback\(", t) for t in told)
        if len(names) > POSITIONAL_MAX and not by_name:
            if not function.name.startswith("test_"):
                yield function.lineno


def starred_displays(of: Module) -> Iterator[int]:
    """A tuple or list that is written in a call to be unpacked there.

    One of literal strings is a command line, whose words belong together.
    """
    for node in ast.walk(of.tree):
        if isinstance(node, ast.Call):
            for given in node.args:
                if isinstance(given, ast.Starred) and not is_command(given.value):
                    yield given.lineno


def is_command(value: ast.expr) -> bool:
    """Whether it is no display, or one of literal strings alone."""
    return not isinstance(value, ast.Tuple | ast.List) or all(
        isinstance(each, ast.Constant) and isinstance(each.value, str)
        for each in value.elts
    )


PLANTED_AT = Path("once/planted.py")
PLANTED: dict[Rule, tuple[str, str]] = {
    docstrings_that_command: (
        'def one():\n    """Return the rows."""',
        'def one():\n    """The rows that return."""',
    ),
    short_units: (
        "_PAUSE_S: float = 1.0",
        "PAUSE_SECONDS = pause_s = BATCHES = 1.0",
    ),
    loggers_of_another_kind: (
        "log = structlog.stdlib.get_logger(__name__)",
        'log = logs.get(__name__)\nlogging.getLogger("httpx").setLevel(30)',
    ),
    parameters_that_can_be_mixed_up: (
        "def one(self, a, b, c, d, e, f): ...",
        "def one(self, a, b, c, d, e, *, f): ...\n"
        "def test_one(a, b, c, d, e, f): ...\n"
        "@app.command()\ndef two(a, b, c, d, e, f): ...",
    ),
    starred_displays: (
        "one(*(a, b, c))",
        'one(*("get", "pods"), *names)\ntwo = (*(a, b), c)',
    ),
}
MORE = [
    (docstrings_that_command, '"""Yield what is there."""'),
    (docstrings_that_command, 'class One:\n    """Gets it."""'),
    (loggers_of_another_kind, "logger = logs.get(__name__)"),
    (loggers_of_another_kind, 'log = logs.get("bank")'),
    (loggers_of_another_kind, "log = logging.getLogger(__name__)"),
    (short_units, "def one(*, pause_s): ..."),
    (starred_displays, 'one(*["a", b])'),
]


@pytest.mark.parametrize("rule", PLANTED)
def test_it_is_written_in_one_dialect(rule: Rule) -> None:
    found = [f"{m.path}:{line}" for m in modules() if held(m) for line in rule(m)]
    assert not found, f"{rule.__name__}: {found}"


def held(of: Module) -> bool:
    return of.path.parts[0] not in NOT_YET


@pytest.mark.parametrize("rule", PLANTED)
def test_what_is_written_otherwise_is_found_and_nothing_else(rule: Rule) -> None:
    bad, good = (module(PLANTED_AT, source) for source in PLANTED[rule])
    assert len(list(rule(bad))) == 1
    assert not list(rule(good))


@pytest.mark.parametrize(("rule", "source"), MORE)
def test_it_is_found_however_it_is_written(rule: Rule, source: str) -> None:
    assert len(list(rule(module(PLANTED_AT, source)))) == 1
