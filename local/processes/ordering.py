"""Tasks that run at once, each as soon as those that it needs have ended well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

Task = Callable[[], None]


def run_all(
    tasks: Mapping[str, Task],
    needs: Mapping[str, Iterable[str]],
    give_up: Task = lambda: None,
) -> None:
    """Run them in threads; what a task needs stands before it in `tasks`.

    A need that is no task is none. Raises what the first one in `tasks` raised of those
    that failed: who needs another fails as it does. `give_up` is called before that.
    """
    with ThreadPoolExecutor(len(tasks)) as pool:
        futures: dict[str, Future[None]] = {}
        for name, task in tasks.items():
            needed = [futures[n] for n in needs.get(name, ()) if n in futures]
            futures[name] = pool.submit(_after, needed, task)
        try:
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            for future in futures.values():
                if future in done:
                    future.result()
        except BaseException:
            give_up()
            raise


def _after(needed: Iterable[Future[None]], task: Task) -> None:
    for future in needed:
        future.result()
    task()
