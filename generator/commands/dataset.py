"""The commands that make rows to fine-tune on: of what won, and of the model's own texts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from generator.commands.options import Adapter, BareModel, RewardModel, Rows
from streams.commands.options import Form, LogOptions
from streams.commands.output import print_rows, progress

if TYPE_CHECKING:  # pyarrow and what checks briefs take a while
    from generator.brief.schema import Brief
    from generator.data.dataset import Card

FILES: Final = (".yaml", ".yml", ".json")


def dataset(
    out: Rows,
    at: LogOptions,
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
    from generator.data.dataset import EvidenceThresholds, write_dataset
    from generator.data.reading import Reading

    thresholds = EvidenceThresholds(
        effective_n=effective_n, sure=sure, best=best, held_out=held_out
    )
    with at.looked_into() as source, progress() as bar:
        reading = Reading(
            source,
            placement=placement,
            segment_field=segment_field,
            progress=partial(bar, "interactions"),
        )
        found = reading.dataset(thresholds, refused=refused)
        if paraphrase:
            from generator.data.augment import with_paraphrases
            from generator.models.opening import open_backend

            told = partial(bar, "paraphrases")
            found = with_paraphrases(found, open_backend(model), paraphrase, progress=told)
    _print_card(write_dataset(found, out, log=reading.log, thresholds=thresholds), form)


def practise(
    out: Rows,
    at: LogOptions,
    briefs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of briefs, or folders of them.", show_default="those in the log"
        ),
    ] = None,
    model: BareModel = "smollm2",
    adapter: Adapter = None,
    reward: RewardModel = None,
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
    from generator.data.augment import PracticeConfig, practised
    from generator.data.dataset import EvidenceThresholds, write_dataset
    from generator.models.opening import open_backend
    from generator.reward.ranking import open_trusted, ranked_by
    from generator.writing.texts import Sampler, SamplingConfig

    asked = _named(briefs) if briefs else _in_log(at)
    sampling = SamplingConfig(samples=texts, temperature=temperature, seed=seed)
    rank = ranked_by(open_trusted(reward)) if reward is not None else None
    with progress() as bar:
        found = practised(
            Sampler(open_backend(model), adapter),
            asked,
            PracticeConfig(sampling=sampling, keep=keep, held_out=held_out),
            rank=rank,
            progress=partial(bar, "briefs"),
        )
    _print_card(write_dataset(found, out, log=(), thresholds=EvidenceThresholds()), form)


def _named(paths: list[Path]) -> list[Brief]:
    from generator.brief.schema import load_brief

    files = [
        file
        for path in paths
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if file == path or file.suffix in FILES
    ]
    return [load_brief(file) for file in files]


def _in_log(at: LogOptions) -> list[Brief]:
    """Returns the briefs that creatives were asked for, each once, the first one first."""
    from generator.brief.schema import brief_from_json, brief_hash
    from streams.catalogue.state import CatalogueReader

    with at.looked_into() as log:
        reader = CatalogueReader(log)
        reader.catch_up()
        found = [brief_from_json(each.brief) for each in reader.catalogue.generations()]
    return list({brief_hash(brief): brief for brief in found}.values())


def _print_card(card: Card, form: Form) -> None:
    """Prints the rows of each kind, and what was left out; who is doubted, on standard error."""
    if form == "table":
        for each in card.suspicious:
            said = f"left out {each.creative_id} of {each.placement}, {each.rule}: {each.why}"
            typer.echo(said, err=True)
    rows = [[*name.split("/"), count] for name, count in sorted(card.rows.items())]
    rows += [["imitate", "paraphrased", card.paraphrased]] if card.paraphrased else []
    left_out = [["left out", why, count] for why, count in sorted(card.left_out.items())]
    print_rows(form, ("rows", "split or reason", "count"), [*rows, *left_out], card)
