"""A small `ulimit -n` is raised where it may be, and said where it may not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

ASK = """
import resource, sys
from once import open_files
from once.errors import Defect
try:
    open_files.allow(int(sys.argv[1]))
except Defect as error:
    sys.exit(str(error))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
# Root may raise even the hard limit.
NOT_ROOT = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
pytestmark = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None,
    reason="root, and nothing to give its rights away with",
)


def ask(needed: int, soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    limit = f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"'
    user = NOT_ROOT if os.geteuid() == 0 else []
    return subprocess.run(
        ["bash", "-c", limit, "-", *user, sys.executable, "-c", ASK, str(needed)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("soft", [256, 1024, 4096])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int) -> None:
    done = ask(1_024, soft, 4_096)
    assert done.stdout.split() == ["4096", "4096"], done.stderr


def test_a_hard_limit_that_is_too_low_is_one_sentence_with_its_cure() -> None:
    done = ask(1_024, 256, 256)
    assert done.returncode == 1
    (sentence,) = done.stderr.strip().splitlines()
    assert sentence.startswith("only 256 files may be open and 1024 are needed")
    assert "ulimit -Hn" in sentence
