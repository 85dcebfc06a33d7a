"""How the parts of a stack are started and stopped: all at once, but for their needs.

Postgres needs neither Java nor jars. At the first start it makes its cluster while they
are fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from local.processes.ordering import Task, run_all
from local.processes.waiting import Patience
from local.stack.class_data import ensure_class_data
from local.stack.components import Components
from local.stack.part import Part
from local.stack.parts import fetch
from local.stack.passwords import SUPERUSER
from local.stack.roles import ensure_roles

# Told that something began or, without a text, that it is ready.
Progress = Callable[[str, str | None], None]

# What has to be ready before; a name that a stack does not have is not waited for.
NEEDS = {
    "postgres": ("etcd",),
    "kafka": ("parts",),
    "registry": ("parts",),
    "roles": ("postgres",),
}


class Start:
    """One start of everything; the first failure ends the waiting of the others."""

    def __init__(
        self, components: Components, patience: Patience, progress: Progress
    ) -> None:
        self._components = components
        self._patience = patience
        self._progress = progress

    def run(self) -> None:
        """Until all is ready. Raises StackError."""
        tasks: dict[str, Task] = {"parts": self._parts}
        for name, part in self._components.by_name.items():
            tasks[name] = partial(self._part, name, part)
        tasks["roles"] = self._roles
        run_all(tasks, NEEDS, self._patience.cancel)

    def _parts(self) -> None:
        def notify(doing: str) -> None:
            self._progress("parts", doing)

        notify("looking for what is missing")
        fetch(self._components.endpoints.jars_dir, self._patience, notify)
        ensure_class_data(self._components.parts, self._patience, notify)
        self._progress("parts", None)

    def _part(self, name: str, part: Part) -> None:
        self._progress(name, "starting")
        part.start()
        part.wait_ready()
        self._progress(name, None)

    def _roles(self) -> None:
        self._progress("roles", "making")
        config = self._components.postgres_config
        superuser = config.conninfo(user=SUPERUSER, dbname="postgres")
        ensure_roles(superuser, config.passwords)
        self._progress("roles", None)


def stop_all(components: Components) -> None:
    """Everything at once, but nothing before those that need it have stopped."""
    parts = components.by_name
    users = {name: [u for u in parts if name in NEEDS.get(u, ())] for name in parts}
    run_all({name: parts[name].stop for name in reversed(parts)}, users)
