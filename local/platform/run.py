"""Runs one of our programs with the settings of the stack that `make up` started.

python -m local.platform.run consumers.bank run --workers 2
python -m local.platform.run set-up            ledger, schemas, topics, accounts
python -m local.platform.run serve [--tls]     the Store's HTTP API, with a journal
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from local.platform.accounts import set_up
from local.platform.credentials import ISSUER, Certificates, Issuer
from local.platform.environments import for_program
from local.platform.platform import Platform
from local.processes.errors import StackError
from local.processes.files import UMASK, narrow
from local.stack import DEFAULT_STATE_DIR, Stack
from local.tools import STATE_DIR_VARIABLE


def main(arguments: list[str]) -> None:
    """Become that program, or set the platform up. Raises StackError."""
    os.umask(UMASK)
    if not arguments:
        raise StackError("which program? For example: producers.store emit --count 9")
    state_dir = Path(os.environ.get(STATE_DIR_VARIABLE, DEFAULT_STATE_DIR))
    platform = Platform(Stack.attach(state_dir), "", state_dir / "logs")
    if arguments == ["set-up"]:
        set_up(platform)
        return
    environment = {**platform.environment(), **os.environ}
    if arguments[0] == "serve":
        kept = platform.stack.endpoints.state_dir / "data" / "store-api"
        secure = "--tls" in arguments
        narrow(kept.parent, [kept.name])  # of a Store that was less careful
        environment = {**_serving(kept, state_dir, secure), **environment}
        arguments = ["producers.store", "serve"]
    environment = for_program(arguments, environment)
    os.execve(sys.executable, [sys.executable, "-m", *arguments], environment)


def _serving(kept: Path, state_dir: Path, secure: bool) -> dict[str, str]:
    """Settings of a Store that serves: by default open, on loopback only."""
    settings = {
        "STORE_INSTANCE": "api",
        "STORE_JOURNAL": str(kept / "journal.db"),
        "STORE_INDEX": str(kept / "index.db"),
    }
    if not secure:
        return {**settings, "STORE_DEMO": "true"}
    certificates, issuer = Certificates(state_dir / "certs"), Issuer(state_dir / "auth")
    certificates.make()
    return {
        **settings,
        "STORE_TLS_CERT": str(certificates.cert),
        "STORE_TLS_KEY": str(certificates.key),
        "STORE_JWKS": str(issuer.jwks),
        "STORE_TOKEN_ISSUER": ISSUER,
    }


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except StackError as error:
        sys.exit(f"run: {error}")
