"""The commands that open and change accounts: by records, as every payment goes."""

from __future__ import annotations

import getpass
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated
from uuid import UUID

import numpy as np
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from once import logs, open_files
from once.errors import ExitStatus
from once.registry import Registry
from once.settings import load
from producers.store.account_changes import (
    CREDIT_LIMIT_MAX,
    AccountChange,
    ChangeChunk,
)
from producers.store.acknowledgements import AcknowledgementLog
from producers.store.answers import Answers
from producers.store.ids import new_transfer_id_of, uuid7, uuid7s
from producers.store.settings import AnswerSettings
from producers.store.stream import Stream, open_stream
from producers.store.transfers import now_ms

OPEN_FILES = 128
CHUNK = 10_000  # changes in one Kafka transaction
CHANGED, THERE = "CHANGED", "DECLINED_ACCOUNT_EXISTS"

Why = Annotated[str, typer.Option("--reason", help="at most 140 bytes, kept for ever")]
Who = Annotated[str | None, typer.Option("--by", help="who asks for it; else: you")]
Wait = Annotated[
    float, typer.Option(min=0, help="seconds for the Bank's answers; 0: do not wait")
]


@dataclass(slots=True)
class Heard:
    """How many changes were sent, and the verdicts that have come."""

    sent: int = 0
    verdicts: list[str] = field(default_factory=list)


def open_accounts(
    first: Annotated[int, typer.Option(min=1, help="number of the first one")] = 1,
    count: Annotated[int, typer.Option(min=1, help="how many, from there")] = 1,
    currency: Annotated[str, typer.Option(help="ISO 4217")] = "EUR",
    credit_limit: Annotated[
        int,
        typer.Option(min=0, max=CREDIT_LIMIT_MAX, help="to overdraw, in minor units"),
    ] = 0,
    *,
    reason: Why = "",
    by: Who = None,
    wait: Wait = 60.0,
    once: Annotated[
        bool, typer.Option("--once", help="do nothing when the last one is there")
    ] = False,
) -> None:
    """Open accounts FIRST..FIRST+COUNT-1; those that exist stay as they are.

    With a limit of 0 an account can pay only what it was paid before. Exit status 1:
    the Bank has not answered all of them in time, or said no; to run it again does no
    harm.
    """
    if once and not wait:
        raise typer.BadParameter("--once asks the Bank first: it needs --wait")
    numbers = range(first, first + count)
    who = {"reason": reason, "changed_by": by or _me()}
    if once and _is_there(numbers[-1], wait, **who):
        print(f"account {numbers[-1]} is there: nothing is opened")
        return
    terms = {"currency": currency, "credit_limit": credit_limit}
    changes = _openings(numbers, must_be_new=True, **terms, **who)
    heard = _ask(changes, count, wait)
    if not wait:
        print(f"asked for {heard.sent} accounts; nobody waited for the answers")
        return
    said = Counter(heard.verdicts)
    print(f"opened {said[CHANGED]} accounts" + _besides(said))
    if len(heard.verdicts) < heard.sent:
        _not_answered(heard, wait, of=count)
    if said.keys() - {CHANGED, THERE}:
        raise typer.Exit(ExitStatus.NOT_ALL)


def change_account(
    account: Annotated[int, typer.Argument(min=1)],
    *,
    status: Annotated[
        str | None, typer.Option(help="open, frozen or closed (for good)")
    ] = None,
    credit_limit: Annotated[
        int | None,
        typer.Option(min=0, max=CREDIT_LIMIT_MAX, help="to overdraw, in minor units"),
    ] = None,
    reason: Why = "",
    by: Who = None,
    change_id: Annotated[
        str | None, typer.Option(help="a UUID, the same in a retry; else: a new one")
    ] = None,
    wait: Wait = 60.0,
) -> None:
    """Freeze, open again, close or limit an account; what is not named stays.

    Exit status 1: it was declined, or the Bank has not answered in time.
    """
    made = uuid7(now_ms(), np.random.default_rng())
    change = _checked(
        change_id=_id(change_id) if change_id else made,
        account=account,
        status=status,
        credit_limit=credit_limit,
        reason=reason,
        changed_by=by or _me(),
    )
    heard = _ask(iter([[change]]), 1, wait)
    said = heard.verdicts[0] if heard.verdicts else None
    if said is None and wait:
        _not_answered(heard, wait, again=f" --change-id {change.change_id}")
    print(f"account {account}: {said or 'asked for'}, change {change.change_id}")
    if said not in (None, CHANGED):
        raise typer.Exit(ExitStatus.NOT_ALL)


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"


def _is_there(account: int, wait: float, **who: object) -> bool:
    """Whether there is such an account: asked of the Bank, and changing nothing."""
    made = uuid7(now_ms(), np.random.default_rng())
    question = _checked(change_id=made, account=account, must_be_new=True, **who)
    heard = _ask(iter([[question]]), 1, wait)
    if not heard.verdicts:
        _not_answered(heard, wait)
    return heard.verdicts == [THERE]


def _checked(**fields: object) -> AccountChange:
    """The change. Raises BadParameter for what it cannot be."""
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return AccountChange.model_validate({**given, "created_at_ms": now_ms()})
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(map(str, first["loc"])) or "the change"
        raise typer.BadParameter(f"{where}: {first['msg']}") from None


def _id(text: str) -> UUID:
    try:
        return new_transfer_id_of(text)
    except ValueError as error:
        raise typer.BadParameter(f"--change-id {text}: {error}") from None


def _openings(numbers: range, **fields: object) -> Iterator[list[AccountChange]]:
    """Chunks of changes that open these accounts."""
    random = np.random.default_rng()
    for start in range(0, len(numbers), CHUNK):
        some = numbers[start : start + CHUNK]
        ids = uuid7s(len(some), now_ms(), random)
        yield [
            _checked(change_id=UUID(bytes=id_), account=number, **fields)
            for id_, number in zip(ids, some, strict=True)
        ]


def _ask(chunks: Iterator[Sequence[AccountChange]], count: int, wait: float) -> Heard:
    """Send all, and hear what the Bank says."""
    settings = load(AnswerSettings)
    open_files.allow(OPEN_FILES)
    logs.configure("store", settings.instance, settings.log_level)
    stderr = Console(stderr=True, soft_wrap=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack:
        registry = Registry(settings.registry_url, settings.registry_ca)
        stack.callback(registry.close)
        answers = Answers(settings, registry)
        stack.callback(answers.close)
        stream = stack.enter_context(open_stream(settings))
        bar = stack.enter_context(
            Progress(*columns, console=stderr, disable=not stderr.is_terminal)
        )
        task = bar.add_task("", total=count)
        return _converse(
            stream,
            answers,
            chunks,
            wait,
            lambda done: bar.update(task, completed=done),
        )


def _converse(
    stream: Stream,
    answers: Answers,
    chunks: Iterator[Sequence[AccountChange]],
    wait: float,
    report: Callable[[int], None],
) -> Heard:
    """Send a chunk while the one before it is decided; stop when an answer is missing.

    So however many there are, few are under way, and a run that was ended goes on
    where it was.
    """
    heard = Heard()
    waiting: list[bytes] = []
    for chunk in chain(chunks, [[]]):
        sending = ChangeChunk(chunk)
        if chunk:
            answers.expect(sending.ids)
            stream.emit([sending], AcknowledgementLog(None))
            heard.sent += len(chunk)
        if wait and waiting:
            before = len(heard.verdicts)
            heard.verdicts += answers.wait_for(
                waiting, wait, lambda n: report(before + n)
            )
            if len(heard.verdicts) < before + len(waiting):
                break
        waiting = sending.ids
    return heard


def _besides(said: Counter[str]) -> str:
    """What else was said, for people."""
    there = said.pop(THERE, 0)
    others = [f"{count} {name}" for name, count in said.items() if name != CHANGED]
    words = [f"{there} were there"] if there else []
    return "".join(f", {each}" for each in (*words, *others))


def _not_answered(heard: Heard, wait: float, again: str = "", of: int = 0) -> None:
    missing, unsent = heard.sent - len(heard.verdicts), max(0, of - heard.sent)
    print(
        f"{missing} not answered within {wait:g} s: is a Bank running, and how far "
        "behind is it? They are in the log, and will be decided."
        + (f" {unsent} were not sent." if unsent else "")
        + f" Look, then run it again{again}",
        file=sys.stderr,
    )
    raise typer.Exit(ExitStatus.NOT_ALL)
