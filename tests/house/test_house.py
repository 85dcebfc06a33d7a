"""The rules of the house that no tool holds: sizes, sleeping, printing, purity."""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import (
    PRODUCT,
    ROOT,
    Module,
    functions,
    imports,
    module,
    modules,
)

MODULE_LINES_MAX = 400
MODULE_LINES_MEDIAN_MAX = 150
FUNCTION_LINES_MAX = 70

RULES = "consumers.bank.rules"


def calls(of: Module, *names: str) -> Iterator[int]:
    """The line of each call of one of `names`, written like that."""
    for node in ast.walk(of.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield node.lineno


def long_functions(of: Module) -> list[str]:
    return [
        f"{of.path}:{function.lineno} {function.name}"
        for function in functions(of)
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_MAX
    ]


def unexplained_sleeps(of: Module) -> list[str]:
    lines = of.source.splitlines()
    return [
        f"{of.path}:{line}"
        for line in calls(of, "time.sleep", "sleep")
        if "  # " not in lines[line - 1]
    ]


def is_cli(of: Module) -> bool:
    """A program's face: `__main__`, or a module or package with cli in its name."""
    parts = of.name.split(".")
    return parts[-1] == "__main__" or any("cli" in part.split("_") for part in parts)


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    long = [str(m.path) for m in modules() if m.length > MODULE_LINES_MAX]
    assert not long, f"more than {MODULE_LINES_MAX} lines: {long}"


def test_most_modules_are_short() -> None:
    lengths = [m.length for m in modules() if m.is_product and m.length]
    assert statistics.median(lengths) < MODULE_LINES_MEDIAN_MAX


def test_no_function_is_longer_than_a_screen() -> None:
    long = [name for m in modules() for name in long_functions(m)]
    assert not long, f"more than {FUNCTION_LINES_MAX} lines: {long}"


def test_a_function_that_is_too_long_is_found() -> None:
    source = "def short():\n    pass\n\n\ndef long():\n" + "    pass\n" * 70
    assert long_functions(module(Path("planted.py"), source)) == ["planted.py:5 long"]


def test_product_code_sleeps_only_where_it_says_why() -> None:
    found = [line for m in modules() if m.is_product for line in unexplained_sleeps(m)]
    assert not found, f"await a condition, or say why on the same line: {found}"


def test_a_sleep_without_a_reason_is_found() -> None:
    source = "time.sleep(1)\ntime.sleep(2)  # the API has no other way\n"
    assert unexplained_sleeps(module(Path("planted.py"), source)) == ["planted.py:1"]


def test_only_the_face_of_a_program_prints() -> None:
    found = [
        f"{m.path}:{line}"
        for m in modules()
        if m.is_product and not is_cli(m)
        for line in calls(m, "print")
    ]
    assert not found, f"log it, or return it to the CLI: {found}"


def test_what_is_a_cli_is_told_by_its_name() -> None:
    for path in (
        "bank/__main__.py",
        "bank/cli.py",
        "bank/cli/audit.py",
        "audit_cli.py",
    ):
        assert is_cli(module(Path(path), ""))
    assert not is_cli(module(Path("bank/client.py"), ""))


def rules_closure() -> tuple[set[str], list[str]]:
    """The modules that the rules of money consist of, and what else they use."""
    by_name = {m.name: m for m in modules()}
    waiting = [RULES]
    pure: set[str] = set()
    foreign: list[str] = []
    while waiting:
        name = waiting.pop()
        if name in pure:
            continue
        pure.add(name)
        for used in imports(by_name[name]):
            if used in by_name:
                waiting.append(used)
            elif used.rpartition(".")[0] in by_name:
                pass  # a name inside a module that is followed already
            elif used.partition(".")[0] not in sys.stdlib_module_names:
                foreign.append(f"{name} imports {used}")
    return pure, foreign


def test_the_rules_of_money_need_the_standard_library_only() -> None:
    pure, foreign = rules_closure()
    assert RULES in pure
    assert not foreign
    impure = {"time", "datetime", "random", "socket", "os", "io", "threading"}
    touching = [
        f"{m.name} imports {used}"
        for m in modules()
        if m.name in pure
        for used in imports(m)
        if used.partition(".")[0] in impure
    ]
    assert not touching, f"no I/O, no clock, no chance: {touching}"


def test_the_contract_folder_does_not_shadow_the_avro_package() -> None:
    assert not (ROOT / "avro" / "__init__.py").exists()
    import avro.schema

    assert ROOT / "avro" not in Path(avro.schema.__file__).parents


def test_every_product_package_can_be_imported_as_one() -> None:
    """A folder without __init__.py is left out of the wheel's import contracts."""
    folders = {m.path.parent for m in modules() if m.path.parts[0] in PRODUCT}
    bare = [str(f) for f in folders if not (ROOT / f / "__init__.py").exists()]
    assert not bare
