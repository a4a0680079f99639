"""The commands on files: play policies, and learn what a policy may know from the start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from streams.commands.options import Form
from streams.commands.output import print_report

if TYPE_CHECKING:
    # Numpy is loaded when a command needs it, not to print the help.
    from bandit.features.flatten import Embedding

MinHeadlines = Annotated[int, typer.Option(help="Leave out tests with fewer.")]
MinImpressions = Annotated[int, typer.Option(help="Leave out tests with fewer an arm.")]
TextEmbedding = Annotated[
    Literal["wordllama", "minilm"] | None,
    typer.Option(help="What reads texts.", show_default="minilm if installed, else wordllama"),
]

TestColumns = Annotated[
    list[str] | None,
    typer.Option(
        help="Of tests, ROLE=COLUMN where a column of test, headline, impressions, clicks or week "
        "has another name; repeat."
    ),
]
ExcludedWeeks = Annotated[
    str, typer.Option(help="First-last week to leave out, YYYYWW-YYYYWW; none: keep all.")
]


def replay(
    path: Annotated[
        Path, typer.Argument(help="CSV, JSON lines or Parquet, a row an arm of a test.")
    ],
    policy: Annotated[
        list[str] | None,
        typer.Option(help="default, thompson:alpha=1,beta=1, 'vw:--cb_…', spec.json; repeat."),
    ] = None,
    form: Form = "table",
    plot: Annotated[
        Path | None, typer.Option(help="Draw cumulative lift into this .png or .svg.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Play everything this many times.")] = 1,
    horizon: Annotated[int, typer.Option(help="The most rounds a test lasts.")] = 2000,
    min_headlines: MinHeadlines = 3,
    min_impressions: MinImpressions = 1000,
    column: TestColumns = None,
    exclude_weeks: ExcludedWeeks = "none",
    embedding: TextEmbedding = None,
) -> None:
    """Play policies on the A/B tests of a file, and compare what they would have earned.

    Every showing draws from the arm's real impressions without replacement, so the replay is
    unbiased for any policy. Columns: test, headline, impressions, clicks and, if any, week (YYYYWW
    or a date), unless `--column` says otherwise. A verdict says whether the tests can tell at all.
    """
    from rich.console import Console

    from bandit.abtests.replay import run_replay
    from bandit.abtests.report import check_plot, plot_replay

    if plot:
        check_plot(plot)
    report = run_replay(
        path,
        policy or ["default", "uniform"],
        seeds=seeds,
        horizon=horizon,
        min_headlines=min_headlines,
        min_impressions=min_impressions,
        columns=pairs_of(column),
        exclude_weeks=weeks_of(exclude_weeks),
        embedding=_embedding(embedding),
        console=Console(stderr=True),
    )
    if plot:
        plot_replay(report, plot)
    print_report(form, report)


def fit_prior(
    path: Annotated[
        Path,
        typer.Argument(
            help="An archive (folder), or finished tests: Parquet or CSV, a row an arm."
        ),
    ],
    placement: Annotated[
        str | None, typer.Option(help="Of an archive: only this one.", show_default="all")
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(help="Of tests: the last week (YYYYWW) to learn from.", show_default="all"),
    ] = None,
    min_headlines: MinHeadlines = 2,
    min_impressions: MinImpressions = 100,
    column: TestColumns = None,
    exclude_weeks: ExcludedWeeks = "none",
    embedding: TextEmbedding = None,
) -> None:
    """Learn which creatives are clicked, from what was, and print a policy that knows it.

    From the archive of a log it takes all placements together, by what was offered beside each
    creative, with the features that they have in the log. The policy is JSON, for a placement
    (`copyloop policy promote home --policy policy.json`) or for `replay --policy`. To judge it,
    replay tests that it was not learned from, such as later ones.
    """
    from bandit.abtests.contrasts import contrasts_of_log, contrasts_of_tests
    from bandit.abtests.data import read_ab_tests
    from bandit.abtests.prior import fit_prior as fit
    from bandit.ope.readers.archive import read_archived

    if path.is_dir():
        data = contrasts_of_log(lambda: read_archived(path, placement=placement))
    else:
        tests = read_ab_tests(
            path,
            min_headlines=min_headlines,
            min_impressions=min_impressions,
            columns=pairs_of(column),
            exclude_weeks=weeks_of(exclude_weeks),
        )
        kept = [test for test in tests if until is None or test.week <= until]
        data = contrasts_of_tests(kept, _embedding(embedding))
    prior = fit(data)
    typer.echo(msgspec.json.encode(prior.spec).decode())
    typer.echo(
        f"{prior.explained:.1%} of the variance between {len(data.y)} creatives was predicted of"
        f" those held out; beyond that their rates differ as {prior.strength:g} clicks would tell",
        err=True,
    )


def fit_delay(
    path: Annotated[Path, typer.Argument(help="The archive of a log: a folder.")],
    placement: Annotated[
        str | None, typer.Option(help="Only this one.", show_default="all")
    ] = None,
) -> None:
    """Learn how long rewards take, and print a policy that does not hold that against the young.

    With it, a showing counts as far as its rewards have had time to come, so creatives of today
    are judged as fairly as those of last week. Worth it where rewards take hours or days, and
    creatives do not live much longer.
    """
    from bandit.abtests.prior import fit_delay as fit
    from bandit.ope.readers.archive import archived_interactions

    delay = fit(archived_interactions(path, placement=placement))
    typer.echo(msgspec.json.encode({"name": "text_thompson", "delay": delay}).decode())
    half, most = delay[len(delay) // 2 - 1], delay[-2]
    typer.echo(f"half of the rewards take {half:g} s or less, 95 % {most:g} s", err=True)


def _embedding(name: Embedding | None) -> Embedding:
    """Returns the embedding, having said which if nobody chose it."""
    if name is not None:
        return name
    from bandit.features.flatten import default_embedding

    found = default_embedding()
    hint = "" if found == "minilm" else "; with minilm, an extra, texts predict twice as much"
    typer.echo(f"texts are read with {found}{hint}", err=True)
    return found


def weeks_of(text: str) -> tuple[int, int] | None:
    """Returns the weeks that `--exclude-weeks` names, None for none."""
    if text == "none":
        return None
    first, _, last = text.partition("-")
    if not (is_week(first) and is_week(last) and first <= last):
        raise typer.BadParameter(
            f"--exclude-weeks {text!r}: expected YYYYWW-YYYYWW, the first week before the last, or "
            "none"
        )
    return int(first), int(last)


def is_week(text: str) -> bool:
    """Returns whether a text names a week of the year, as YYYYWW.

    >>> is_week("202453"), is_week("202454")
    (True, False)
    """
    return text.isascii() and text.isdecimal() and len(text) == 6 and 1 <= int(text[4:]) <= 53


def pairs_of(texts: list[str] | None) -> dict[str, str]:
    """Returns the columns that `--column ROLE=COLUMN` names, by role."""
    found = {}
    for text in texts or []:
        role, separator, column = text.partition("=")
        if not separator or not column:
            raise typer.BadParameter(
                f"--column {text!r}: expected ROLE=COLUMN, such as clicks=opened"
            )
        found[role] = column
    return found
