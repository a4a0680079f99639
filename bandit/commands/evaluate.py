"""The commands that judge policies on a log: `evaluate`, and `tune` for a policy's settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec
import typer

from bandit.commands.replay import pairs_of
from streams.commands.options import Form
from streams.commands.output import print_report
from streams.files.writing import BY_UMASK, write_whole

if TYPE_CHECKING:
    from bandit.ope.readers.events import LoggedEvent
    from bandit.ope.reports.report import Evaluation

Processes = Annotated[
    int | None,
    typer.Option(min=1, help="Share the policies among so many.", show_default="all cores"),
]
Level = Annotated[float, typer.Option(help="Of the intervals.")]
Unit = Annotated[
    str | None,
    typer.Option(
        help="Whose decisions depend on each other, such as context.user; event_id: the slots "
        "of one event. Intervals then count users, not decisions."
    ),
]


class LoggedOptions(NamedTuple):
    """A log that policies are judged on, and how it is read."""

    path: Annotated[Path, typer.Argument(help="The log: a file or a folder.")]
    reader: Annotated[
        Literal["archive", "dsjson", "vw", "obd", "table"],
        typer.Option(
            help="How to read it: archive is copyloop's own, dsjson Personalizer's and VW's, vw "
            "its cb_adf text, obd the Open Bandit Dataset, table CSV, JSON lines or Parquet with "
            "--column."
        ),
    ] = "archive"
    placement: Annotated[str | None, typer.Option(help="Of an archive: only this one.")] = None
    slot: Annotated[
        int | None, typer.Option(help="Only these decisions, of events that have several.")
    ] = None
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a table, ROLE=COLUMN: reward, propensity, action, event_id, timestamp_ms, "
            "context.NAME, action.NAME, actions, available.ID, pmf, pmf.ID, target.NAME, "
            "target_pmf.NAME, target_pmf.NAME.ID; of obd, target_pmf.NAME=FILE.npy; repeat."
        ),
    ] = None
    propensities: Annotated[
        Literal["logged", "estimate"],
        typer.Option(
            help="estimate: fit them to the contexts where nobody wrote them down; every figure "
            "then carries a warning."
        ),
    ] = "logged"
    on_bad_row: Annotated[
        Literal["stop", "skip"],
        typer.Option(
            help="At a row that cannot be read: stop and name it, or skip it; the report counts "
            "skipped rows by reason."
        ),
    ] = "stop"

    @property
    def roles(self) -> dict[str, str]:
        """The columns of a table by role."""
        return pairs_of(self.column)

    def open_reader(self) -> Callable[[], Iterator[LoggedEvent]]:
        """Returns a function that reads the log, picklable for other processes."""
        from bandit.ope.models import estimated
        from bandit.ope.readers import open_reader

        logged = self.propensities == "logged"
        opened = partial(
            open_reader,
            self.reader,
            self.path,
            placement=self.placement,
            slot=self.slot,
            columns=self.roles,
            propensities=logged,
            on_bad_row=self.on_bad_row,
        )
        return opened if logged else partial(estimated, opened)


def evaluate(
    logged: LoggedOptions,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="uniform, thompson:alpha=1,beta=1 (learns as it goes), trained:thompson (learns "
            "from the first --train decisions), explore:thompson (learns from what it would have "
            "tried), snapshot:FILE (frozen), constant:ID, column:NAME; repeat."
        ),
    ] = None,
    estimator: Annotated[
        list[str] | None,
        typer.Option(
            help="replay, ips, clipped_ips, snips, mips, dm, dr, sndr, switch_dr, dros, mrdr, "
            "blend, betting, bernstein; of events with slots: slate_snips, slate_cascade, "
            "slate_independent, slate_pi; repeat. [default: snips, dr, blend, betting]"
        ),
    ] = None,
    baseline: Annotated[
        str, typer.Option(help="The policy that the others are compared with.")
    ] = "logged",
    model: Annotated[
        Literal["ridge", "logistic", "boosting", "lightgbm"],
        typer.Option(
            help="The reward model: ridge reads any length of log; the others learn from a "
            "sample, and want the extra 'evaluation'."
        ),
    ] = "ridge",
    segment: Annotated[
        list[str] | None,
        typer.Option(help="Tell values apart by this: slot, or user.device; repeat."),
    ] = None,
    train: Annotated[
        int, typer.Option(min=0, help="Learn from so many decisions first, which do not count.")
    ] = 0,
    intervals: Annotated[
        Literal["normal", "bootstrap"],
        typer.Option(help="Where standard errors come from; betting and bernstein need none."),
    ] = "normal",
    rewards: Annotated[
        tuple[float, float],
        typer.Option(help="The least and the largest reward, for betting and bernstein."),
    ] = (0.0, 1.0),
    max_weight: Annotated[
        float | None, typer.Option(help="The largest weight that there can be, if known.")
    ] = None,
    alike: Annotated[
        float, typer.Option(help="For mips: creatives whose features have this cosine are alike.")
    ] = 0.8,
    creatives: Annotated[
        bool, typer.Option("--creatives", help="Judge each creative by itself as well.")
    ] = False,
    unit: Unit = None,
    mixture: Annotated[
        str | None,
        typer.Option(
            help="Of a log that several policies made: the field that names who made a decision, "
            "such as context.logger; target.NAME has what each gives the chosen action."
        ),
    ] = None,
    level: Level = 0.95,
    processes: Processes = None,
    form: Annotated[Literal["table", "json", "html"], typer.Option("--format")] = "table",
) -> None:
    """Estimate from a log what other policies would have earned, and how sure that is.

    Of decision-service JSON, events with one slot and CCB events are read, and of VW text, events
    with cb_adf labels. Slates, continuous actions and text without actions (--cb) are refused by
    name. Rows that are no decisions are skipped, and counted by reason.

    The verdict says whether the log can tell at all; its code is stable, for programs. `html`
    is one page with plots, for whoever decides; it wants the extra 'plot'.
    """
    from rich.console import Console

    from bandit.ope.base import RewardRange
    from bandit.ope.candidate import DEFAULT, Options
    from bandit.ope.evaluate import evaluate as run
    from bandit.ope.mixture import mixed
    from bandit.ope.reports.html import check_page
    from bandit.ope.tables import evaluate_table

    if form == "html":
        check_page()
    options = Options(
        estimators=tuple(dict.fromkeys(estimator or DEFAULT)),
        baseline=baseline,
        level=level,
        reward_range=RewardRange(*rewards),
        max_weight=max_weight,
        bootstrap=intervals == "bootstrap",
        model=model,
        segments=tuple(segment or ()),
        train=train,
        alike=alike,
        creatives=creatives,
        unit=unit,
    )
    policies, processes = policy or ["uniform"], processes or _cores()
    progress = Console(stderr=True)
    if logged.reader == "table" and logged.slot is None and mixture is None:
        found = evaluate_table(
            logged.path,
            logged.roles,
            policies,
            options,
            propensities=logged.propensities == "logged",
            on_bad_row=logged.on_bad_row,
            processes=processes,
            console=progress,
        )
    else:
        read = logged.open_reader()
        opened = read if mixture is None else mixed(read, mixture)
        found = run(opened, policies, options, processes=processes, console=progress)
    _tell(found._replace(source=str(logged.path)), form)


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
