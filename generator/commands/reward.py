"""The command that learns a reward model; heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bandit.replay_commands import ExcludedWeeks, TestColumns, pairs_of, weeks_of
from streams.command_line import Data, Form, LogUrl, log_url, looked_into, print_json, print_rows

if TYPE_CHECKING:  # numpy and its company take half a second
    from generator.reward import Example

UNLEARNED: Final = 3
"""The exit code of `reward-model` where traffic has not told enough yet."""


def reward_model(
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    tests: Annotated[
        Path | None,
        typer.Option(help="Learn from finished A/B tests, as replay reads them, not from a log."),
    ] = None,
    column: TestColumns = None,
    exclude_weeks: ExcludedWeeks = "none",
    reader: Annotated[
        str,
        typer.Option(
            help="What reads the texts: wordllama, minilm, smollm2, sentence:MODEL, "
            "hidden:MODEL@LAYER, or several joined by +."
        ),
    ] = "wordllama",
    form: Form = "table",
) -> None:
    """Learn which texts promise most, from what was shown; say how often it is right.

    It is asked about pairs of texts that it did not learn from and that traffic told apart. What
    it writes ranks candidates: copyloop generate --reward FILE. The generator in `copyloop up`
    learns one by itself whenever creatives are asked for.
    """
    from generator.errors import TooLittleEvidence
    from generator.promising import CACHE
    from generator.reward import fit_reward_model, open_encoder

    if tests is None:
        examples = _examples_of_log(log_url(log, data))
    else:
        examples = _examples_of_tests(tests, pairs_of(column), weeks_of(exclude_weeks))
    try:
        model = fit_reward_model(examples, open_encoder(reader, CACHE))
    except TooLittleEvidence as error:
        typer.echo(f"copyloop: {error.code}: {error}", err=True)
        raise typer.Exit(UNLEARNED) from error
    model.save(out)
    accuracy = model.accuracy
    found = {
        "texts": len(examples),
        "groups": len({example.group for example in examples}),
        "pairs": accuracy.n_pairs,
        "right": round(accuracy.value, 4),
        "low": round(accuracy.interval.low, 4),
        "high": round(accuracy.interval.high, 4),
        "trusted": model.trusted,
        "reader": reader,
    }
    if form == "json":
        print_json(found)
    else:
        print_rows(form, tuple(found), [tuple(found.values())])


def _examples_of_tests(
    path: Path, columns: dict[str, str], exclude_weeks: tuple[int, int] | None
) -> list[Example]:
    from bandit.abtests.data import read_ab_tests
    from generator.reward import from_ab_tests

    found = read_ab_tests(
        path, columns=columns, min_headlines=2, min_impressions=500, exclude_weeks=exclude_weeks
    )
    return from_ab_tests(found)


def _examples_of_log(url: str) -> list[Example]:
    from generator.reward import from_states
    from generator.rotating import Rotator
    from streams.catalogue import CatalogueReader

    with looked_into(url) as log:
        reader = CatalogueReader(log)
        reader.catch_up()
        return from_states(Rotator(log).states(), reader.catalogue)
