"""The command line of a replay: `python -m consumers.bank.replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from consumers.bank.replay.run import replay
from consumers.bank.replay.settings import ReplaySettings
from once import cli, logs
from once.errors import ExitStatus
from once.settings import load

stderr = Console(stderr=True, soft_wrap=True)  # a sentence stays one line


def main(
    anew: Annotated[
        bool, typer.Option("--anew", help="decide again, and say what would differ")
    ] = False,
    credit_limit: Annotated[
        list[str] | None,
        typer.Option(metavar="ACCOUNT=AMOUNT", help="with --anew: another limit"),
    ] = None,
    report: Annotated[Path, typer.Option(help="where the JSON goes")] = Path(
        "build/reports/replay.json"
    ),
) -> None:
    """Build a second ledger from the log alone, and compare it with the first.

    Settings are REPLAY_... (docs/how-to/replay.md). The log must be whole, from its
    beginning. Exit status 0: they are the same, row by row and hash by hash, 1: they
    are not, or verdicts would be others, 70: something could not be read.
    """
    logs.configure("replay", "0", "warning")
    limits = dict(map(_limit, credit_limit or ()))
    if limits and not anew:
        raise typer.BadParameter("--credit-limit is for --anew")
    with stderr.status("replaying") as status:
        result = replay(
            load(ReplaySettings), anew=anew, limits=limits, shown=status.update
        )
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(result.model_dump_json(indent=2) + "\n")
    print(
        f"{result.records:,} records applied again in {result.seconds} s, "
        f"{result.records / result.seconds:,.0f}/s"
    )
    for name, count in result.rows.items():
        print(f"{count:>12,} {name} compared")
    for change, count in result.otherwise.items():
        print(f"{count:>12,} {change}")
    for line in (*result.differences, *result.examples):
        print(line)
    same = "decided alike" if anew else "the same, row by row and hash by hash"
    print(same if result.identical else "not the same")
    raise typer.Exit(ExitStatus.DONE if result.identical else ExitStatus.NOT_ALL)


def _limit(text: str) -> tuple[int, int]:
    account, _, amount = text.partition("=")
    if not account.isdecimal() or not amount.isdecimal():
        raise typer.BadParameter(f"{text!r} is not ACCOUNT=AMOUNT")
    return int(account), int(amount)


if __name__ == "__main__":
    cli.run(lambda: typer.run(main))
