"""The commands that train: an adapter on what won, and a reward model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bandit.commands.replay import ExcludedWeeks, TestColumns, pairs_of, weeks_of
from generator.commands.options import Reader
from generator.settings import CACHE, UNLEARNED
from streams.commands.options import Form, LogOptions
from streams.commands.output import print_rows, progress

if TYPE_CHECKING:  # torch and its company take seconds
    from generator.training.config import FinetuneConfig, Manifest
    from generator.training.needs import Needs
    from generator.training.running import TrainingStep


def finetune(
    dataset: Annotated[Path, typer.Argument(help="A folder of copyloop generator dataset.")],
    out: Annotated[Path, typer.Argument(help="A new folder, or one to go on in.")],
    method: Annotated[
        str | None,
        typer.Option(
            help="loop imitates the best texts, then prefers by pairs; sft and dpo do one of both; "
            "kto learns from texts judged good or bad; grpo from what a reward model and the gates "
            "say of its own texts; reward makes a reward model of pairs.",
            show_default="loop",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="smollm2 (packaged), a folder, or a hub id.",
            show_default="smollm2",
        ),
    ] = None,
    parent: Annotated[
        Path | None, typer.Option(help="A finished run of sft, or an adapter, to go on from.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML or JSON file with the rest; see generator/README.")
    ] = None,
    repeat: Annotated[
        Path | None,
        typer.Option(help="A manifest.json: the same again, if dataset and model are the same."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, show_default="1")] = None,
    form: Form = "table",
) -> None:
    """Train an adapter on what won: OUT gets adapter/ and manifest.json.

    Stopped or killed, the same command goes on from its last checkpoint. Several GPUs:
    accelerate launch --multi_gpu -m generator finetune DATASET OUT. Then write with it:
    copyloop generate BRIEF --adapter OUT/adapter.
    """
    from msgspec.structs import replace

    from generator.models.opening import read_manifest
    from generator.training.config import FinetuneConfig, Manifest, load_config

    said = {"method": method, "model": model, "parent": parent and str(parent), "seed": seed}
    told = {name: value for name, value in said.items() if value is not None}
    if repeat is not None:
        if config is not None or told:
            raise typer.BadParameter(
                "says everything already; leave the others out", param_hint="repeat"
            )
        before = read_manifest(repeat, Manifest)
        made = _run(dataset, out, before.config, before)
    else:
        base = load_config(config) if config is not None else FinetuneConfig()
        made = _run(dataset, out, _checked(replace(base, **told)), None)
    if made is None:
        return
    rows: list[tuple[object, ...]] = [("rows", name, count) for name, count in made.rows.items()]
    rows += [("metric", name, round(value, 4)) for name, value in made.metrics.items()]
    rows += [
        ("cost", "cpu seconds", made.cpu_seconds),
        ("cost", "peak MB", made.peak_rss_bytes >> 20),
        ("adapter", "sha256", made.adapter_sha256),
    ]
    print_rows(form, ("what", "of", "value"), rows, made)


def _checked(config: FinetuneConfig) -> FinetuneConfig:
    import msgspec

    from generator.errors import TrainingConfigError

    try:
        return msgspec.convert(msgspec.to_builtins(config), type(config))
    except msgspec.ValidationError as error:
        raise TrainingConfigError(str(error)) from error


def say_needs(needs: Needs) -> None:
    """Prints what a training will take, on standard error."""
    typer.echo(f"copyloop: {needs.words()}", err=True)


def _run(
    dataset: Path, out: Path, config: FinetuneConfig, before: Manifest | None
) -> Manifest | None:
    """Returns the manifest; None in a process that is not the main one."""
    from generator.errors import BackendMissing
    from streams.process import stop_on_signals

    try:
        from accelerate import PartialState

        from generator.training.finetune import finetune as train
    except ImportError as error:
        raise BackendMissing(f"{error}; pip install 'copyloop[finetune]'") from error

    stop = stop_on_signals()
    with progress() as bar:
        bar("loading", 0, None)

        def told(step: TrainingStep) -> None:
            bar("loading", 1, 1)
            loss = "" if step.loss is None else f" loss {step.loss:.3f}"
            bar(step.stage, step.done, step.total, loss)

        made = train(dataset, out, config, progress=told, stop=stop, before=before, told=say_needs)
    return made if PartialState().is_main_process else None


def reward_model(
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    at: LogOptions,
    tests: Annotated[
        Path | None,
        typer.Option(help="Learn from finished A/B tests, as replay reads them, not from a log."),
    ] = None,
    column: TestColumns = None,
    exclude_weeks: ExcludedWeeks = "none",
    reader: Reader = "wordllama",
    form: Form = "table",
) -> None:
    """Learn which texts promise most, from what was shown; say how often it is right.

    It is asked about pairs of texts that it did not learn from and that traffic told apart. What
    it writes ranks candidates: copyloop generate --reward FILE. The generator in `copyloop up`
    learns one by itself whenever creatives are asked for.
    """
    from bandit.abtests.data import read_ab_tests
    from generator.errors import TooLittleEvidence
    from generator.refresh import Rotator
    from generator.reward.encoders import open_encoder
    from generator.reward.model import fit_reward_model
    from generator.reward.regression import from_ab_tests, from_states
    from streams.catalogue.state import CatalogueReader

    if tests is None:
        with at.looked_into() as log:
            catalogue = CatalogueReader(log)
            catalogue.catch_up()
            examples = from_states(Rotator(log).states(), catalogue.catalogue)
    else:
        finished = read_ab_tests(
            tests,
            columns=pairs_of(column),
            min_headlines=2,
            min_impressions=500,
            exclude_weeks=weeks_of(exclude_weeks),
        )
        examples = from_ab_tests(finished)
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
        "trusted": model.accuracy.trusted,
        "reader": reader,
    }
    print_rows(form, tuple(found), [tuple(found.values())], found)
