"""How the parts of a stack are started and stopped: all at once, but for their needs.

Postgres needs neither Java nor jars. At the first start it makes its cluster while they
are fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial

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
        tasks: dict[str, Callable[[], None]] = {"parts": self._parts}
        for name, part in self._components.by_name.items():
            tasks[name] = partial(self._part, name, part)
        tasks["roles"] = self._roles
        with ThreadPoolExecutor(len(tasks), thread_name_prefix="start") as pool:
            futures: dict[str, Future[None]] = {}
            for name, task in tasks.items():
                needed = _named(futures, NEEDS.get(name, ()))
                futures[name] = pool.submit(_after, needed, task)
            try:
                done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
                # Who waits for another fails as it does: its own words come first.
                for future in futures.values():
                    if future in done:
                        future.result()
            except BaseException:
                self._patience.cancel()
                raise

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
    with ThreadPoolExecutor(len(parts), thread_name_prefix="stop") as pool:
        futures: dict[str, Future[None]] = {}
        for name in reversed(parts):
            users = [other for other in futures if name in NEEDS.get(other, ())]
            waiting = _named(futures, users)
            futures[name] = pool.submit(_after, waiting, parts[name].stop)
        for future in futures.values():
            future.result()


def _after(needed: Iterable[Future[None]], task: Callable[[], None]) -> None:
    for future in needed:
        future.result()
    task()


def _named(
    futures: Mapping[str, Future[None]], names: Iterable[str]
) -> list[Future[None]]:
    return [futures[name] for name in names if name in futures]
