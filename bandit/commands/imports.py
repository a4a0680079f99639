"""The commands that take in what other systems logged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streams.commands.options import (
    Form,
    LogOptions,
    make_app,
    operator,
)
from streams.commands.output import moment, print_json, progress
from streams.counting import count_of

if TYPE_CHECKING:
    # Numpy is loaded when a command needs it, not to print the help.
    from bandit.learning.imported import ImportedEvents
    from bandit.ope.readers.rows import OnBadRow
    from bandit.ope.reports.report import Evaluation
    from bandit.service.compat.personalizer.import_logs import Contents
    from streams.events import Placement


def personalizer_logs(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Decision-service JSON (.dsjson), an event a line."),
    ],
    at: LogOptions,
    placement: Annotated[
        str, typer.Option(help="The placement that starts from it; made if it is not there.")
    ] = "default",
    judge: Annotated[
        bool, typer.Option(help="Say how well the policy does on these logs, as it learns.")
    ] = True,
    on_bad_row: Annotated[
        Literal["stop", "skip"],
        typer.Option(
            help="At a line that should be a decision and cannot be read: stop before anything is "
            "written, or skip it; skipped lines are counted by reason."
        ),
    ] = "stop",
    form: Form = "table",
) -> None:
    """Warm-start a placement from the logs that Azure Personalizer exported.

    All files are read through before anything is written. Taken in again, they change nothing.

    Events with one slot and CCB events are read, and apprentice logs by what was really earned.
    Lines that are no decision are skipped and counted: rewards whose decision is missing, deferred
    events that were never activated, checkpoints, and a last line that was cut off. Slates,
    continuous actions and logs that were thinned out (pdrop) are refused by name.

    The table says what the placement's policy earns on these decisions, each judged before it is
    learned from, beside what was logged, the first action, and chance.
    """
    from rich.console import Console

    from bandit.learning.imported import take_in
    from bandit.service.compat.personalizer.configuration import new_placement
    from bandit.service.compat.personalizer.import_logs import look_through, read_logs
    from streams.catalogue.state import CatalogueReader
    from streams.catalogue.writer import CatalogueWriter, Condition
    from streams.checkpoint import exclusive
    from streams.files.writing import make_folder
    from streams.logs.embedded import wall_clock_ms
    from streams.topics import create_topics

    console = Console(stderr=True)
    make_folder(at.data)
    with exclusive(at.data, f"import {placement}"), at.opened() as here:
        create_topics(here)
        reader = CatalogueReader(here)
        reader.catch_up()
        found = reader.catalogue.placement(placement)
        known = found or new_placement(placement, wall_clock_ms())
        with console.status("reading the logs through"):
            contents = look_through(paths, known, on_bad_row)
        if found is None:
            name = f"placement/{placement}"
            absent = Condition(absent=True)
            CatalogueWriter(here).commit([name], lambda: [known], operator(), absent)
        with progress() as shown:
            done = 0

            def move(count: int) -> None:
                nonlocal done
                done += count
                shown("taking in", done, contents.events)

            taken = take_in(here, placement, read_logs(paths, on_bad_row), progress=move)
    judged = None
    if judge:
        with console.status("judging policies on the logs"):
            judged = _judged(known, paths, on_bad_row)
    _report(placement, contents, taken, judged, form)


def _judged(placement: Placement, paths: list[Path], on_bad_row: OnBadRow) -> Evaluation:
    from bandit.ope.base import RewardRange
    from bandit.ope.candidate import Options
    from bandit.ope.evaluate import evaluate
    from bandit.ope.policies import FIRST_ACTION, Candidate, unmasked
    from bandit.service.compat.personalizer.import_logs import read_logs

    rule = placement.reward
    return evaluate(
        lambda: read_logs(paths, on_bad_row),
        [Candidate("placement", unmasked(placement.policy)), FIRST_ACTION, "uniform"],
        Options(reward_range=RewardRange(rule.minimum, rule.maximum), unit=placement.unit or None),
    )


def _report(
    placement: str, contents: Contents, taken: ImportedEvents, found: Evaluation | None, form: str
) -> None:
    from rich.console import Console
    from rich.text import Text

    if form == "json":
        evaluation = None if found is None else found._asdict()
        read = {
            "repeated": contents.repeated,
            "skipped": contents.skipped,
            "notes": contents.notes,
        }
        print_json({"placement": placement, **taken._asdict(), **read, "evaluation": evaluation})
        return
    console = Console(markup=False, emoji=False)
    console.print(
        f"placement {placement}: {count_of(taken.new, 'decision')} taken in, "
        f"{taken.known:,} were there; "
        f"rewards {contents.lowest:g} to {contents.highest:g}, "
        f"{moment(contents.first_ms)} to {moment(contents.last_ms)}"
    )
    for words in (*contents.notes, *map(str, contents.skipped)):
        console.print(Text(f"* {words}"))
    if contents.repeated:
        console.print(
            f"* {count_of(contents.repeated, 'decision')} came again; the first of each counts"
        )
    if found is not None:
        # the same was said of the files above
        console.print(found._replace(warnings=()).to_table())


app = make_app("Take in what another system logged.", {"personalizer-logs": personalizer_logs})
