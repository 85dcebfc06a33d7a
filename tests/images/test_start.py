"""How the images start: as anybody but root, with a sentence for what is missing."""

from __future__ import annotations

import pytest

from tests.images.containers import Order, run, running
from tests.images.engine import Engine
from tests.images.programs import Images

PROGRAMS = {"store": "producers.store", "bank": "consumers.bank"}
MISSING = {
    "store": ("STORE_BOOTSTRAP_SERVERS", "STORE_REGISTRY_URL"),
    "bank": ("BANK_BOOTSTRAP_SERVERS", "BANK_REGISTRY_URL", "BANK_CONNINFO"),
}
LOOK = """
import os, pathlib
status = dict(
    line.split(":", 1) for line in open("/proc/self/status").read().splitlines()
)
def writable(folder):
    try:
        (pathlib.Path(folder) / "planted").touch()
        return True
    except OSError:
        return False
folders = ["/", "/app", "/etc", "/run", "/tmp", "/usr", "/var/tmp"]
print(os.getuid(), os.getgid(), int(status["CapBnd"], 16), int(status["CapEff"], 16))
print(*filter(writable, folders))
import consumers.bank.worker, producers.store.service
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_says_which_settings_are_missing(
    engine: Engine, images: Images, program: str
) -> None:
    ended = run(engine, Order(getattr(images, program)))
    assert ended.status == 78, ended.said
    (sentence,) = ended.said.splitlines()
    assert sentence.startswith("Defect: settings missing or wrong: ")
    for name in MISSING[program]:
        assert name in sentence


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("user", ["0", "0:10001"])
def test_an_image_refuses_to_run_as_root(
    engine: Engine, images: Images, program: str, user: str
) -> None:
    ended = run(engine, Order(getattr(images, program), user=user))
    assert ended.status == 78, ended.said
    said = "this container runs as root: give it a user (runAsUser, --user)"
    assert ended.said.splitlines() == [f"Defect: {said}"]


@pytest.mark.parametrize("command", ["migrate", "register a=b", "topics a=1", "doctor"])
def test_a_job_refuses_to_run_as_root(
    engine: Engine, images: Images, command: str
) -> None:
    entrypoint = ["python3", "-m", "once"]
    job = Order(images.bank, command.split(), entrypoint=entrypoint, user="0")
    ended = run(engine, job)
    assert ended.status == 78, ended.said
    assert "runs as root" in ended.said


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_works_for_any_user_with_nothing_writable_but_tmp(
    engine: Engine, images: Images, program: str
) -> None:
    order = Order(getattr(images, program), ["-c", LOOK], entrypoint=["python3"])
    ended = run(engine, order)
    assert ended.status == 0, ended.said
    assert ended.said.splitlines() == ["54321 54321 0 0", "/tmp"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_is_not_of_root_when_nobody_names_a_user(
    engine: Engine, images: Images, program: str
) -> None:
    order = Order(
        getattr(images, program),
        ["-c", "import os; print(os.getuid(), os.getgid())"],
        entrypoint=["python3"],
        user="",
    )
    assert run(engine, order).said.strip() == "10001 10001"


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_image_starts_its_program_without_a_shell(
    engine: Engine, images: Images, program: str
) -> None:
    name = getattr(images, program)
    form = "{{json .Config.Entrypoint}}"
    started = engine.docker.run("image", "inspect", "--format", form, name)
    assert started.strip() == f'["python3","-m","{PROGRAMS[program]}"]'


def test_there_is_no_shell_in_these_tests(engine: Engine, images: Images) -> None:
    ended = "import subprocess; subprocess.run(['/bin/sh', '-c', ':'])"
    order = Order(images.bank, ["-c", ended], entrypoint=["python3"])
    assert "PermissionError" in run(engine, order).said
    waits = Order(
        images.bank, ["-c", "import signal; signal.pause()"], entrypoint=["python3"]
    )
    with running(engine, waits) as container:
        assert container.python("print(open('/proc/1/comm').read())") == "python3"
