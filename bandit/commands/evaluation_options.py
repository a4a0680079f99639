"""The options of the commands that judge policies, in groups: the log, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from bandit.commands.replay import pairs_of

if TYPE_CHECKING:
    from bandit.ope.candidate import Options
    from bandit.ope.readers.events import LoggedEvent

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


class AskedOptions(NamedTuple):
    """What is asked of an evaluation."""

    estimator: Annotated[
        list[str] | None,
        typer.Option(
            help="replay, ips, clipped_ips, snips, mips, dm, dr, sndr, switch_dr, dros, mrdr, "
            "blend, cross_validated, betting, bernstein; of events with slots: slate_snips, "
            "slate_cascade, slate_independent, slate_pi; repeat. [default: snips, dr, blend, "
            "betting]"
        ),
    ] = None
    baseline: Annotated[str, typer.Option(help="The policy that the others are compared with.")] = (
        "logged"
    )
    model: Annotated[
        Literal["ridge", "logistic", "boosting", "lightgbm"],
        typer.Option(
            help="The reward model: ridge reads any length of log; the others learn from a "
            "sample, and want the extra 'evaluation'."
        ),
    ] = "ridge"
    segment: Annotated[
        list[str] | None,
        typer.Option(help="Tell values apart by this: slot, or user.device; repeat."),
    ] = None
    train: Annotated[
        int, typer.Option(min=0, help="Learn from so many decisions first, which do not count.")
    ] = 0
    intervals: Annotated[
        Literal["normal", "bootstrap"],
        typer.Option(help="Where standard errors come from; betting and bernstein need none."),
    ] = "normal"
    rewards: Annotated[
        tuple[float, float],
        typer.Option(help="The least and the largest reward, for betting and bernstein."),
    ] = (0.0, 1.0)
    max_weight: Annotated[
        float | None, typer.Option(help="The largest weight that there can be, if known.")
    ] = None
    alike: Annotated[
        float, typer.Option(help="For mips: creatives whose features have this cosine are alike.")
    ] = 0.8
    creatives: Annotated[
        bool, typer.Option("--creatives", help="Judge each creative by itself as well.")
    ] = False
    unit: Unit = None
    level: Level = 0.95

    def options(self) -> Options:
        """Returns the options as an evaluation takes them."""
        from bandit.ope.base import RewardRange
        from bandit.ope.candidate import DEFAULT, Options

        return Options(
            estimators=tuple(dict.fromkeys(self.estimator or DEFAULT)),
            baseline=self.baseline,
            level=self.level,
            reward_range=RewardRange(*self.rewards),
            max_weight=self.max_weight,
            bootstrap=self.intervals == "bootstrap",
            model=self.model,
            segments=tuple(self.segment or ()),
            train=self.train,
            alike=self.alike,
            creatives=self.creatives,
            unit=self.unit,
        )
