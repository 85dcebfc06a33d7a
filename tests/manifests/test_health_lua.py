"""The health that Argo CD reads from our scripts, run as it runs them.

A fixture is an object as a cluster has it. Its name begins with the health that is
expected; its first line, if it is a comment, is the message that a person would see.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

# Argo CD's interpreter speaks Lua 5.1.
LUA: Any = import_module("lupa.lua51")
HEALTH = Path(__file__).parents[2] / "argocd" / "health"
KEY = "resource.customizations.health."
# controller: gitops-engine/pkg/health/health.go
STATUSES = ("healthy", "progressing", "degraded", "suspended", "missing", "unknown")
# KEDA writes no observedGeneration.
NEVER_STALE = {"ScaledObject"}


def scripts() -> dict[str, Path]:
    """The script of each kind, as the ConfigMap is made of them."""
    kustomization = yaml.safe_load((HEALTH / "kustomization.yaml").read_text())
    (generator,) = kustomization["configMapGenerator"]
    entries = (entry.split("=") for entry in generator["files"])
    return {
        key.removeprefix(KEY).rpartition("_")[2]: HEALTH / file for key, file in entries
    }


SCRIPTS = scripts()
FIXTURES = sorted((HEALTH / "fixtures").glob("*/*.yaml"))


def sandbox() -> Any:
    """A Lua with what Argo CD opens: base and table, not even string.

    See runLuaWithResourceActionParameters in argo-cd/util/lua/lua.go.
    """
    lua: Any = LUA.LuaRuntime(register_eval=False)
    lua.execute("getmetatable('').__index = nil")
    for name in ("string", "os", "io", "debug", "math", "coroutine", "python"):
        lua.globals()[name] = None
    return lua


def health(kind: str, obj: dict[str, Any]) -> tuple[str, str]:
    """The status and the message that the kind's script gives for an object."""
    lua = sandbox()
    lua.globals()["obj"] = lua.table_from(obj, recursive=True)
    found = lua.execute(SCRIPTS[kind].read_text())
    return found["status"], found["message"]


def expected(fixture: Path) -> tuple[str, str | None]:
    """The status in a fixture's name and the message of its first line."""
    first = fixture.read_text().partition("\n")[0]
    message = first.removeprefix("# ") if first.startswith("# ") else None
    return fixture.stem.partition("-")[0], message


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("fixture", FIXTURES, ids=named)
def test_an_object_has_the_health_its_fixture_is_named_after(fixture: Path) -> None:
    obj = yaml.safe_load(fixture.read_text())
    assert obj["kind"] == fixture.parent.name
    status, message = health(obj["kind"], obj)
    wanted, said = expected(fixture)
    assert status.lower() == wanted, message
    assert said is None or message == said


@pytest.mark.parametrize("kind", SCRIPTS)
def test_every_kind_is_seen_well_busy_broken_and_stale(kind: str) -> None:
    names = {path.stem for path in (HEALTH / "fixtures" / kind).glob("*.yaml")}
    for name in ("healthy", "degraded", "progressing-no-status"):
        assert name in names
    assert any(name.startswith("progressing") for name in names)
    assert kind in NEVER_STALE or "progressing-stale-generation" in names


@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("status", [None, {}, {"conditions": []}], ids=repr)
def test_an_object_that_no_controller_has_seen_is_progressing(
    kind: str, status: dict[str, Any] | None
) -> None:
    obj = {"kind": kind, "metadata": {"name": "new", "generation": 1}}
    if status is not None:
        obj["status"] = status
    assert health(kind, obj)[0] == "Progressing"


@pytest.mark.parametrize("kind", SCRIPTS)
def test_conditions_without_a_message_do_not_break_a_script(kind: str) -> None:
    for type_ in ("Ready", "NotReady", "Warning", "Accepted", "Fallback", "Stopped"):
        for value in ("True", "False", "Unknown"):
            condition = {"type": type_, "status": value, "observedGeneration": 1}
            status = {"observedGeneration": 1, "conditions": [condition, {}]}
            obj = {"metadata": {"name": "odd", "generation": 1}, "status": status}
            found, message = health(kind, obj)
            assert found.lower() in STATUSES
            assert isinstance(message, str)


def test_every_script_and_every_fixture_is_used() -> None:
    assert {*HEALTH.glob("*.lua")} == {*SCRIPTS.values()}
    assert {path.name for path in (HEALTH / "fixtures").iterdir()} == {*SCRIPTS}
    unknown = [named(f) for f in FIXTURES if expected(f)[0] not in STATUSES]
    assert not unknown, "a fixture's name begins with a health"


def test_a_script_that_reaches_for_a_library_is_caught() -> None:
    for used in ("string.format('%s', 1)", "('x'):upper()", "os.getenv('HOME')"):
        with pytest.raises(LUA.LuaError):
            sandbox().execute(f"return {used}")
