"""A failing test shows what the programs of its platform have said."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from local.platform import Platform
from local.stack import Stack
from tests.fix_platform import a_platform
from tests.integration.spoilt import Copy, a_copy, a_healthy_platform

SHOWN_CHARACTERS = 6_000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        values = getattr(item, "funcargs", {}).values()
        folders = {each.logs for each in values if isinstance(each, Platform)}
        for log in sorted(log for folder in folders for log in folder.glob("*.log")):
            text = log.read_text(errors="replace")[-SHOWN_CHARACTERS:]
            report.sections.append((f"end of {log.name}", text))
    return report


@pytest.fixture(scope="session")
def healthy(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """A platform at rest in which every invariant holds; nobody changes it."""
    with a_healthy_platform(stack, tmp_path_factory.mktemp("healthy")) as platform:
        yield platform


@pytest.fixture(scope="module")
def whole(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that each test of a module leaves as it was."""
    with a_platform(stack, tmp_path_factory.mktemp("whole")) as platform:
        yield platform


@pytest.fixture
def copy(healthy: Platform) -> Iterator[Copy]:
    """A copy of the healthy platform, to plant violations in."""
    with a_copy(healthy) as copy:
        yield copy
