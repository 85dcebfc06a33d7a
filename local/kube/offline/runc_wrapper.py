"""Stands before runc and takes out of a container's wishes what root here cannot grant.

In a virtual machine root may lack CAP_SYS_RESOURCE; a privileged container asks for all
capabilities, and for a negative OOM score, and would not start. Where root has it,
nothing is changed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

CAP_SYS_RESOURCE = 24


def main(arguments: list[str]) -> None:
    """Become runc, after mending the files that it will read."""
    runc = shutil.which("runc", path="/usr/local/sbin:/usr/sbin:/usr/bin")
    if runc is None:
        sys.exit("runc is not installed")
    if not _has_capability():
        bundle = _value(arguments, "--bundle", "-b")
        process = _value(arguments, "--process", "-p")
        if bundle:
            _mend(Path(bundle, "config.json"), inside="process")
        if process:
            _mend(Path(process), inside="")
    os.execv(runc, ["runc", *arguments])


def _has_capability() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return False


def _value(arguments: list[str], *names: str) -> str:
    for name, value in zip(arguments, arguments[1:], strict=False):
        if name in names:
            return value
    return ""


def _mend(path: Path, inside: str) -> None:
    if not path.exists():
        return
    content: dict[str, Any] = json.loads(path.read_text())
    process = content[inside] if inside else content
    for held in (process.get("capabilities") or {}).values():
        if "CAP_SYS_RESOURCE" in held:
            held.remove("CAP_SYS_RESOURCE")
    if (process.get("oomScoreAdj") or 0) < 0:
        process["oomScoreAdj"] = 0
    path.write_text(json.dumps(content))


if __name__ == "__main__":
    main(sys.argv[1:])
