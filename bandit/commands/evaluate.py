"""The commands that judge policies on a log: `evaluate`, and `tune` for a policy's settings."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from bandit.commands.evaluation_options import AskedOptions, Level, LoggedOptions, Processes, Unit
from streams.commands.options import Form
from streams.commands.output import print_report
from streams.files.writing import BY_UMASK, write_whole

if TYPE_CHECKING:
    from bandit.ope.candidate import Options
    from bandit.ope.reports.report import Evaluation


def evaluate(
    logged: LoggedOptions,
    asked: AskedOptions,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="uniform, thompson:alpha=1,beta=1 (learns as it goes), trained:thompson (learns "
            "from the first --train decisions), explore:thompson (learns from what it would have "
            "tried), snapshot:FILE (frozen), constant:ID, column:NAME; repeat."
        ),
    ] = None,
    mixture: Annotated[
        str | None,
        typer.Option(
            help="Of a log that several policies made: the field that names who made a decision, "
            "such as context.logger; target.NAME has what each gives the chosen action."
        ),
    ] = None,
    processes: Processes = None,
    engine: Annotated[
        Literal["local", "spark"],
        typer.Option(
            help="spark: judge an archive, or a table of Parquet, by the workers of Apache Spark; "
            "PATH may be an URL. Wants the extra 'spark'."
        ),
    ] = "local",
    form: Annotated[Literal["table", "json", "html"], typer.Option("--format")] = "table",
) -> None:
    """Estimate from a log what other policies would have earned, and how sure that is.

    Of decision-service JSON, events with one slot and CCB events are read, and of VW text, events
    with cb_adf labels. Slates, continuous actions and text without actions (--cb) are refused by
    name. Rows that are no decisions are skipped, and counted by reason.

    The verdict says whether the log can tell at all; its code is stable, for programs. `html`
    is one page with plots, for whoever decides; it wants the extra 'plot'.
    """
    from bandit.ope.reports.html import check_page

    if form == "html":
        check_page()
    policies = policy or ["uniform"]
    if engine == "spark":
        found = _on_spark(logged, policies, asked.options(), mixture)
    else:
        found = _found(logged, asked, policies, mixture, processes or _cores())
    _tell(found._replace(source=str(logged.path)), form)


def _found(
    logged: LoggedOptions,
    asked: AskedOptions,
    policies: list[str],
    mixture: str | None,
    processes: int,
) -> Evaluation:
    """Returns what was found, read by columns where that suffices."""
    from rich.console import Console

    from bandit.ope.evaluate import evaluate as run
    from bandit.ope.mixture import mixed
    from bandit.ope.tables import evaluate_table

    options, progress = asked.options(), Console(stderr=True)
    if logged.reader == "table" and logged.slot is None and mixture is None:
        return evaluate_table(
            logged.path,
            logged.roles,
            policies,
            options,
            propensities=logged.propensities == "logged",
            on_bad_row=logged.on_bad_row,
            processes=processes,
            console=progress,
        )
    read = logged.open_reader()
    opened = read if mixture is None else mixed(read, mixture)
    return run(opened, policies, options, processes=processes, console=progress)


def tune(
    logged: LoggedOptions,
    policy: Annotated[
        list[str], typer.Option(help="A policy to try, such as thompson or vw:--cb_…; repeat.")
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option(help="PARAMETER=VALUE,VALUE,…: try all combinations on each policy; repeat."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the winner's settings here, as JSON.")
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="The policy that the candidates are compared with.")
    ] = "logged",
    share: Annotated[
        float, typer.Option(help="The share of the log that picks; the rest tells the value.")
    ] = 0.5,
    model: Annotated[
        Literal["ridge", "logistic", "boosting", "lightgbm", "none"],
        typer.Option(help="The reward model of DR; none: judge by SNIPS."),
    ] = "ridge",
    unit: Unit = None,
    level: Level = 0.95,
    processes: Processes = None,
    form: Form = "table",
) -> None:
    """Find the settings of a policy that would have earned most on a log.

    All candidates fold the log at once, each asked about a decision before it learns of it, and
    learning from what it would have tried itself, as far as the log allows. The first part of the
    log picks the winner; its value and interval are of the rest, which did not.
    Use the file as `--policy FILE`, such as `copyloop policy promote home --policy FILE`.
    """
    from rich.console import Console

    from bandit.errors import PolicySpecError
    from bandit.ope.tune import grid as combine
    from bandit.ope.tune import parse_range
    from bandit.ope.tune import tune as run
    from bandit.policies import parse_policy

    if out is not None and (out.suffix != ".json" or not out.parent.is_dir()):
        raise PolicySpecError(f"cannot write to {out}; expected a .json in a folder that exists")
    ranges = [parse_range(text) for text in grid or []]
    candidates = [spec for text in policy for spec in combine(parse_policy(text), ranges)]
    found = run(
        logged.open_reader(),
        candidates,
        baseline=baseline,
        share=share,
        model=None if model == "none" else model,
        unit=unit,
        level=level,
        processes=processes or _cores(),
        console=Console(stderr=True),
    )
    if out is not None:
        winner = msgspec.json.format(msgspec.json.encode(found.winner.spec)) + b"\n"
        write_whole(out, winner, mode=BY_UMASK)
    print_report(form, found)


def _on_spark(
    logged: LoggedOptions, policies: list[str], options: Options, mixture: str | None
) -> Evaluation:
    from bandit.errors import EstimateError
    from bandit.ope.spark.evaluation import evaluate_on_spark

    if logged.slot is not None or mixture is not None or logged.propensities == "estimate":
        raise EstimateError(
            "on Spark there is no --slot, --mixture or --propensities estimate; leave --engine out"
        )
    # A path keeps one of an URL's two slashes.
    path = re.sub(r"^([a-z][a-z0-9+.-]+):/(?!/)", r"\1://", str(logged.path))
    return evaluate_on_spark(
        path,
        policies,
        options,
        reader=logged.reader,
        columns=logged.roles,
        placement=logged.placement,
        on_bad_row=logged.on_bad_row,
    )


def _tell(found: Evaluation, form: Literal["table", "json", "html"]) -> None:
    """Prints what was found: JSON, a page, or its tables."""
    from rich.console import Console

    from bandit.ope.reports.html import to_page
    from bandit.ope.reports.report import creatives_table, parts_table

    if form == "html":
        typer.echo(to_page(found))
        return
    print_report(form, found)
    if form == "json":
        return
    # names and ids are not markup
    console = Console(markup=False, emoji=False)
    for judged in found.policies:
        for name, parts in judged.segments.items():
            console.print(parts_table(judged, name, parts))
        if judged.slots:
            console.print(parts_table(judged, "slot", judged.slots))
    if found.creatives:
        console.print(creatives_table(found))


def _cores() -> int:
    return len(os.sched_getaffinity(0))
