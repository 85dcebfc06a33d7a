"""A failing test shows what the programs of its platform have said."""

from collections.abc import Generator

import pytest

from local.platform import Platform

SHOWN_CHARACTERS = 6_000


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        values = getattr(item, "funcargs", {}).values()
        for platform in (each for each in values if isinstance(each, Platform)):
            for log in sorted(platform.logs.glob("*.log")):
                text = log.read_text(errors="replace")[-SHOWN_CHARACTERS:]
                report.sections.append((f"end of {log.name}", text))
    return report
