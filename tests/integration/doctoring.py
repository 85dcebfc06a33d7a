"""Running the doctor on a platform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from local.platform import Platform
from local.platform.environments import for_program
from once.doctor.report import Level


def doctor(
    platform: Platform, **settings: str
) -> tuple[int, dict[str, Mapping[str, str]]]:
    """The exit status, and what is worse than good, by its check."""
    done = subprocess.run(
        [sys.executable, "-m", "once", "doctor", "--json"],
        env=for_program(
            ["once", "doctor"], {**os.environ, **platform.environment(), **settings}
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    findings = json.loads(done.stdout)
    bad = {each["check"]: each for each in findings if each["level"] != Level.GOOD}
    return done.returncode, bad
