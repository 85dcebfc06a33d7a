"""Tasks run at once, but none before what it needs."""

from __future__ import annotations

import threading

import pytest

from local.processes.ordering import Task, run_all

SECONDS_MAX = 10.0


def test_nothing_runs_before_what_it_needs_and_all_else_at_once() -> None:
    ran: list[str] = []
    meeting = threading.Barrier(2, timeout=SECONDS_MAX)

    def meet(name: str) -> Task:
        def task() -> None:
            meeting.wait()
            ran.append(name)

        return task

    tasks: dict[str, Task] = {
        "etcd": meet("etcd"),
        "kafka": meet("kafka"),
        "postgres": lambda: ran.append("postgres"),
        "roles": lambda: ran.append("roles"),
    }
    run_all(tasks, {"postgres": ["etcd", "nothing"], "roles": ["postgres"]})
    assert sorted(ran) == sorted(tasks)
    assert ran.index("etcd") < ran.index("postgres") < ran.index("roles")


def test_the_first_failure_ends_the_waiting_of_the_others_and_is_raised() -> None:
    ended = threading.Event()

    def fail() -> None:
        raise ValueError("no etcd")

    def wait() -> None:
        assert ended.wait(SECONDS_MAX)
        raise TimeoutError("gave up")

    tasks: dict[str, Task] = {"etcd": fail, "kafka": wait, "postgres": fail}
    with pytest.raises(ValueError, match="no etcd"):
        run_all(tasks, {"postgres": ["etcd"]}, ended.set)
    assert ended.is_set()
