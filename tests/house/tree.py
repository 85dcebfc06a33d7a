"""What the house tests look at: the files that are, or are about to be, committed."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("once", "producers", "consumers", "loadtest", "local")


@cache
def files() -> tuple[Path, ...]:
    """Tracked files, and new ones that git does not ignore, relative to ROOT."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (Path(name) for name in listed.split("\0") if name)
    return tuple(sorted(path for path in paths if (ROOT / path).is_file()))


def text(path: Path) -> str | None:
    """A file's text, or None if it is binary."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True)
class Module:
    """One Python file: where it is, its dotted name, its text and its syntax tree."""

    path: Path
    name: str
    source: str
    tree: ast.Module

    @property
    def length(self) -> int:
        """Lines of the file."""
        return len(self.source.splitlines())

    @property
    def is_product(self) -> bool:
        """Whether it is shipped, as opposed to a test."""
        return self.path.parts[0] in PRODUCT


@cache
def modules() -> tuple[Module, ...]:
    """Every Python module of the repository, tests too."""
    return tuple(
        module(path, text(path) or "") for path in files() if path.suffix == ".py"
    )


def module(path: Path, source: str) -> Module:
    """Parse one module; its name is what an import would say."""
    parts = path.with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return Module(path, ".".join(parts), source, ast.parse(source))


def imports(of: Module) -> Iterator[str]:
    """The dotted name of everything a module imports, wherever in it.

    ``from a import b`` is both ``a`` and ``a.b``: b may be a module.
    """
    for node in ast.walk(of.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{of.path}:{node.lineno}: a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(of: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module, methods and inner ones too."""
    for node in ast.walk(of.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
