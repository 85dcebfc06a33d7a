"""Our images in a real engine, beside a local stack of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from local.kube import own_images
from tests.fix_stack import ROOT
from tests.images.containers import Ended, run, running
from tests.images.engine import Engine, running_engine
from tests.images.programs import SUBJECTS, Images, Programs
from tests.images.surroundings import Surroundings, surroundings

PAYERS, CREDIT_LIMIT = 10, 1_000_000


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine, with a network of these tests."""
    with running_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def images(engine: Engine) -> Images:
    """Those of this working tree."""
    before = os.getcwd()
    os.chdir(ROOT)
    try:
        return Images(*own_images.build(engine.environment, print))
    finally:
        os.chdir(before)


@pytest.fixture(scope="session")
def around(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Surroundings]:
    """Kafka, the registry and Postgres, empty but for the topics."""
    with surroundings(engine, tmp_path_factory.mktemp("images")) as around:
        yield around


@pytest.fixture(scope="session")
def programs(engine: Engine, images: Images, around: Surroundings) -> Programs:
    """What can be run there."""
    return Programs(images, around, ("store", engine.published))


@pytest.fixture(scope="session")
def set_up(engine: Engine, programs: Programs) -> dict[str, Ended]:
    """The jobs that precede a deployment, run to their end; a Bank opens accounts."""
    subjects = [f"{subject}={file}" for subject, file in SUBJECTS.items()]
    accounts = ["--count", str(PAYERS), "--credit-limit", str(CREDIT_LIMIT)]
    jobs = {
        "migrate": ("once", "migrate"),
        "register": ("once", "register", *subjects),
    }
    ended = {name: run(engine, programs.job(*job)) for name, job in jobs.items()}
    with running(engine, programs.bank()) as bank:
        bank.wait_ready()
        opening = programs.accounts(*accounts)
        ended["open-accounts"] = run(engine, opening)
    return ended
