"""`make try`: the platform in one terminal, to send payments to it and look at it.

The stack is started where none runs, then two Bank workers and a Store that serves
HTTP, and all of it ends with Ctrl-C. The ledger is made for this, and removed in the
end; one that was there before (`make set-up`) is used as it is, and stays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from rich.console import Console

from local.platform.accounts import ACCOUNTS, CREDIT_LIMIT, MERCHANTS, set_up
from local.platform.demo import a_stack
from local.platform.platform import Platform, has_ledger
from local.platform.program import Program
from local.processes.errors import StackError
from local.processes.waiting import wait_until
from local.stack import StackConfig
from producers.store.ids import uuid7
from producers.store.transfers import now_ms

PORT, WORKERS = "8080", 2  # one that is killed is started again
LOOK_SECONDS = 1.0
READY_SECONDS_MAX = 60.0


def run(config: StackConfig, console: Console) -> None:
    """Until Ctrl-C, or until a program ends. Raises StackError."""
    with a_stack(config, keep=False, console=console) as stack, ExitStack() as ending:
        platform = Platform(stack, "", config.state_dir / "logs")
        if has_ledger(platform):
            console.print(f"the {platform.dbname} that is here is used, and stays")
        else:
            ending.callback(_remove, platform, console)
        with console.status("making ledger, schemas, topics and accounts ..."):
            set_up(platform)
        bank = ending.enter_context(platform.workers(WORKERS))
        port = os.environ.get("STORE_PORT", PORT)
        store = ending.enter_context(platform.store_api(port=port))
        ending.callback(_leave, bank, store)
        with console.status("starting two Bank workers and a Store ..."):
            url = store.url()
            wait_until(
                lambda: bool(bank.events("partitions assigned")) or _ended(bank),
                what="the Bank to get its partitions",
                timeout_seconds=READY_SECONDS_MAX,
            )
        console.print(_what_next(url), highlight=False, soft_wrap=True)
        opened = platform.opened()
        _watch(bank, store, lambda: platform.applied() - opened, console)
    console.print("all of it has ended")


def _what_next(url: str) -> str:
    transfer = uuid7(now_ms(), np.random.default_rng())
    where = f"{url}/v1/transfers/{transfer}"
    return f"""
[bold]{url}[/] takes payments: a page, and the API ({url}/docs).
Accounts 1 to {ACCOUNTS:,} may each overdraw {CREDIT_LIMIT / 100:.2f} EUR; \
{MERCHANTS} merchants follow.

Pay, in another terminal:

  curl -X PUT {where} \\
    -H 'Content-Type: application/json' \\
    -d '{{"debit_account": 1, "credit_account": 100001, "amount": 250, \
"currency": "EUR", "memo": "coffee"}}'

What became of it, by Kafka's word and by the ledger's:

  curl {where}
  make peek TOPIC=transfer-results ARGS="--count 1"
  make psql ARGS="-c 'TABLE ledger'"

Break it (docs/tutorial/2-break-it.md), then: make audit. Ctrl-C ends all of it.
"""


def _watch(
    bank: Program, store: Program, applied: Callable[[], int], console: Console
) -> None:
    told = 0
    with console.status("") as status:
        try:
            while not (_ended(bank) or _ended(store)):
                died = bank.events("worker died")
                for each in died[told:]:
                    console.print(_death(each), highlight=False)
                told = len(died)
                status.update(f"{applied():,} payments decided; Ctrl-C ends")
                time.sleep(LOOK_SECONDS)  # the pace of the display
        except KeyboardInterrupt:
            return
    for program in filter(_ended, (bank, store)):
        last = program.text.strip().splitlines()[-1:]
        raise StackError(f"it has ended: {''.join(last)}; see {program.log}")


def _death(worker: Mapping[str, Any]) -> str:
    name, status = worker["instance"], worker["status"]
    return f"Bank worker {name} died with status {status}, and is started again"


def _ended(program: Program) -> bool:
    return program.process.poll() is not None


def _leave(*programs: Program) -> None:
    for program in programs:
        program.terminate()


def _remove(platform: Platform, console: Console) -> None:
    with console.status(f"removing {platform.dbname} and its topics ..."):
        platform.remove()
