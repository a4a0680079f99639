"""The commands that take in what other systems logged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.command_line import DATA, Data, LogUrl, log_url, opened, print_json

if TYPE_CHECKING:
    # Numpy is loaded when a command needs it, not to print the help.
    from rich.console import Console

    from bandit.ope.report import Evaluation
    from bandit.personalizer_logs import Contents, Taken
    from streams.events import Placement
    from streams.log import Log

app = typer.Typer(help="Take in what another system logged.", no_args_is_help=True)


@app.command("personalizer-logs")
def personalizer_logs(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Decision-service JSON (.dsjson), an event a line."),
    ],
    placement: Annotated[
        str, typer.Option(help="The placement that starts from it; made if it is not there.")
    ] = "default",
    data: Data = DATA,
    log: LogUrl = None,
    judge: Annotated[
        bool, typer.Option(help="Say how well the policy does on these logs, as it learns.")
    ] = True,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Warm-start a placement from the logs that Azure Personalizer exported.

    All files are read through before anything is written. Taken in again, they change nothing. The
    table says what the placement's policy earns on these decisions, each judged before it is
    learned from, beside what was logged, the first action, and chance.
    """
    from rich.console import Console

    from bandit.personalizer_logs import look_through
    from streams.checkpoint import exclusive
    from streams.topics import create_topics

    if form not in ("table", "json"):
        raise typer.BadParameter(f"{form!r} is neither table nor json", param_hint="--format")
    console = Console(stderr=True)
    data.mkdir(parents=True, exist_ok=True)
    with exclusive(data, f"import {placement}"), opened(log_url(log, data)) as here:
        create_topics(here)
        known, made = _placement(here, placement)
        with console.status("reading the logs through"):
            contents = look_through(paths, known)
        if made:
            from streams.catalogue import catalogue_message

            here.append([catalogue_message(known)])
        taken = _take_in(here, placement, paths, contents, console)
    found = None
    if judge:
        with console.status("judging policies on the logs"):
            found = _judged(known, paths)
    _report(placement, contents, taken, found, form)


def _placement(log: Log, name: str) -> tuple[Placement, bool]:
    """Returns the placement, and whether it is not there yet."""
    from bandit.service.personalizer.configuration import new_placement
    from streams.catalogue import CatalogueReader
    from streams.embedded import wall_clock_ms

    reader = CatalogueReader(log)
    reader.catch_up()
    found = reader.catalogue.placement(name)
    return (new_placement(name, wall_clock_ms()), True) if found is None else (found, False)


def _take_in(
    log: Log, placement: str, paths: list[Path], contents: Contents, console: Console
) -> Taken:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from bandit.personalizer_logs import read_logs, take_in

    columns = (TextColumn("taking in"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as shown:
        task = shown.add_task("", total=contents.events)
        return take_in(log, placement, read_logs(paths), progress=lambda n: shown.advance(task, n))


def _judged(placement: Placement, paths: list[Path]) -> Evaluation:
    from bandit.ope.candidate import Options
    from bandit.ope.estimators.bounded import RewardRange
    from bandit.ope.evaluate import evaluate
    from bandit.ope.policies import FIRST_ACTION, Candidate, unmasked
    from bandit.personalizer_logs import read_logs

    rule = placement.reward
    return evaluate(
        lambda: read_logs(paths),
        [Candidate("placement", unmasked(placement.policy)), FIRST_ACTION, "uniform"],
        Options(reward_range=RewardRange(rule.minimum, rule.maximum)),
    )


def _report(
    placement: str, contents: Contents, taken: Taken, found: Evaluation | None, form: str
) -> None:
    from datetime import UTC, datetime

    import msgspec
    from rich.console import Console

    if form == "json":
        evaluation = None if found is None else msgspec.to_builtins(found._asdict())
        print_json({"placement": placement, **taken._asdict(), "evaluation": evaluation})
        return
    console = Console()
    since, until = (
        datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
        for at_ms in (contents.first_ms, contents.last_ms)
    )
    console.print(
        f"placement {placement}: {taken.new:,} decisions taken in, {taken.known:,} were there; "
        f"rewards {contents.lowest:g} to {contents.highest:g}, {since} to {until}"
    )
    if found is not None:
        console.print(found.to_table())
