"""The commands that teach the generator; heavy imports wait until one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from generator.commands.card import print_card, progress_of
from streams.command_line import Data, Form, LogUrl, log_url, looked_into


def dataset(
    out: Annotated[Path, typer.Argument(help="A folder for the rows and their card.")],
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    placement: Annotated[str | None, typer.Option(help="Of this one alone.")] = None,
    segment_field: Annotated[
        str | None, typer.Option(help="A field of contexts, keys joined by dots: user.plan.")
    ] = None,
    effective_n: Annotated[
        float, typer.Option(min=1.0, help="Showings that a text needs, as SNIPS counts them.")
    ] = 100.0,
    sure: Annotated[
        float, typer.Option(min=0.51, max=0.999, help="How probably one of a pair is better.")
    ] = 0.9,
    best: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share to imitate.")] = 0.25,
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of briefs for testing, the latest.")
    ] = 0.2,
    refused: Annotated[
        bool, typer.Option(help="Also pair texts that passed with texts that a gate refused.")
    ] = True,
    paraphrase: Annotated[
        int, typer.Option(min=0, help="Say each text to imitate again, so many times at most.")
    ] = 0,
    model: Annotated[
        str, typer.Option(help="Who paraphrases: smollm2, a folder, a hub id or URL#NAME.")
    ] = "smollm2",
    form: Form = "table",
) -> None:
    """Make rows to fine-tune on from what the log says won: to imitate, to prefer, to judge.

    A text counts by what it earned per showing, each showing weighed by one over its propensity,
    so that nobody looks good for having been shown to easy users. Only texts of one brief,
    placement and segment are compared. OUT gets Parquet files and card.json, which says from
    which records, by which thresholds, and what was left out. Creatives whose
    clicks do not look like people's (one user's, faster than reading, far beyond their company)
    are named in it with the reason, and teach nothing. Texts that a gate refused come in pairs
    with texts that passed, at the weight of a sure pair.
    """
    from rich.console import Console
    from rich.progress import Progress

    from generator.data.dataset import EvidenceThresholds, build_dataset, write_dataset
    from generator.data.reading import Reading, with_refusals

    thresholds = EvidenceThresholds(
        effective_n=effective_n, sure=sure, best=best, held_out=held_out
    )
    with (
        looked_into(log_url(log, data)) as source,
        Progress(console=Console(stderr=True), transient=True) as bar,
    ):
        reading = Reading(
            source,
            placement=placement,
            segment_field=segment_field,
            progress=progress_of(bar, "interactions"),
        )
        found = build_dataset(
            reading.evidence,
            reading.prompt_of,
            thresholds=thresholds,
            suspicious=reading.suspicious,
        )
        if refused:
            found = with_refusals(found, reading.evidence, reading.refusals())
        if paraphrase:
            from generator.data.augment import with_paraphrases
            from generator.models.opening import open_backend

            told = progress_of(bar, "paraphrases")
            found = with_paraphrases(found, open_backend(model), paraphrase, progress=told)
    print_card(write_dataset(found, out, log=reading.log, thresholds=thresholds), form)
