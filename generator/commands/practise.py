"""The command by which a model practises; heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from generator.commands.card import print_card, progress_of
from streams.command_line import Data, Form, LogUrl, log_url, looked_into

if TYPE_CHECKING:  # what checks briefs takes half a second
    from generator.brief.schema import Brief

FILES: Final = (".yaml", ".yml", ".json")


def practise(
    out: Annotated[Path, typer.Argument(help="A folder for the rows and their card.")],
    briefs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of briefs, or folders of them.", show_default="those in the log"
        ),
    ] = None,
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    model: Annotated[str, typer.Option(help="smollm2 (packaged), a folder, or a hub id.")] = (
        "smollm2"
    ),
    adapter: Annotated[
        str | None, typer.Option(help="What it writes with, RUN/adapter; the bare model without.")
    ] = None,
    reward: Annotated[
        Path | None,
        typer.Option(help="A reward model's file: of what passes, keep what promises most."),
    ] = None,
    texts: Annotated[int, typer.Option(min=1, help="Written for each brief.")] = 16,
    keep: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Share kept, with --reward.")
    ] = 0.5,
    temperature: Annotated[float, typer.Option(min=0.01, help="Lower keeps to the likely.")] = 0.7,
    held_out: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of briefs for testing, the last.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the model's draws.")] = 1,
    form: Form = "table",
) -> None:
    """Make rows to imitate from the model's own texts: those that the screen lets through.

    No traffic is needed. A model that was taught texts by hand learns so what the gates refuse;
    one that was taught preferences keeps them (--reward) and unlearns what slipped in beside:
    copyloop generator finetune OUT RUN --method sft --parent BASE.
    """
    from rich.console import Console
    from rich.progress import Progress

    from generator.data.augment import PracticeConfig, practised
    from generator.data.dataset import EvidenceThresholds, write_dataset
    from generator.models.opening import open_backend
    from generator.reward.ranking import ranking_of
    from generator.writing.samples import Sampler, SamplingConfig

    asked = _named(briefs) if briefs else _in_log(log_url(log, data))
    sampling = SamplingConfig(samples=texts, temperature=temperature, seed=seed)
    rank = ranking_of(reward) if reward is not None else None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        found = practised(
            Sampler(open_backend(model), adapter),
            asked,
            PracticeConfig(sampling=sampling, keep=keep, held_out=held_out),
            rank=rank,
            progress=progress_of(bar, "briefs"),
        )
    card = write_dataset(found, out, log=(), thresholds=EvidenceThresholds())
    print_card(card, form)


def _named(paths: list[Path]) -> list[Brief]:
    from generator.brief.schema import load_brief

    files = [
        file
        for path in paths
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file == path or file.suffix in FILES
    ]
    return [load_brief(file) for file in files]


def _in_log(url: str) -> list[Brief]:
    """Returns the briefs that creatives were asked for, each once, the first one first."""
    from generator.brief.schema import brief_from_json, brief_hash
    from streams.catalogue import CatalogueReader

    with looked_into(url) as log:
        reader = CatalogueReader(log)
        reader.catch_up()
        found = [brief_from_json(each.brief) for each in reader.catalogue.generations()]
    return list({brief_hash(brief): brief for brief in found}.values())
