"""The one way in which our programs begin and end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from once.errors import OnceError, exit_status


def run(app: Callable[[], object]) -> NoReturn:
    """Run a command line; an error is one sentence, and a status that says its kind."""
    os.umask(0o077)  # whatever is written, nobody else reads
    try:
        app()
    except OnceError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(exit_status(error))
    sys.exit()
