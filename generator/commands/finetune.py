"""The command that fine-tunes; heavy imports wait until it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.command_line import Form, print_json, print_rows

if TYPE_CHECKING:  # torch and its company take seconds
    from generator.training.config import FinetuneConfig, Manifest
    from generator.training.running import Step


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

    from generator.models.adapters import read_manifest
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
    if made is not None:
        _print(made, form)


def _checked(config: FinetuneConfig) -> FinetuneConfig:
    import msgspec

    from generator.errors import TrainingConfigError

    try:
        return msgspec.convert(msgspec.to_builtins(config), type(config))
    except msgspec.ValidationError as error:
        raise TrainingConfigError(str(error)) from error


def _run(
    dataset: Path, out: Path, config: FinetuneConfig, before: Manifest | None
) -> Manifest | None:
    """Returns the manifest; None in a process that is not the main one."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from generator.errors import BackendMissing
    from streams.process import stop_on_signals

    try:
        from accelerate import PartialState

        from generator.training.finetune import finetune as train
    except ImportError as error:
        raise BackendMissing(f"{error}; pip install 'copyloop[finetune]'") from error

    stop = stop_on_signals()
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        tasks = {"": bar.add_task("loading", total=None)}

        def told(step: Step) -> None:
            bar.update(tasks[""], visible=False)
            if step.stage not in tasks:
                tasks[step.stage] = bar.add_task(step.stage, total=step.total)
            loss = f" loss {step.loss:.3f}" if step.loss is not None else ""
            bar.update(tasks[step.stage], completed=step.done, description=step.stage + loss)

        made = train(dataset, out, config, progress=told, stop=stop, before=before)
    return made if PartialState().is_main_process else None


def _print(made: Manifest, form: Form) -> None:
    import msgspec

    if form == "json":
        print_json(msgspec.to_builtins(made))
        return
    rows = [["rows", name, count] for name, count in made.rows.items()]
    rows += [["metric", name, round(value, 4)] for name, value in made.metrics.items()]
    rows += [
        ["cost", "cpu seconds", made.cpu_seconds],
        ["cost", "peak MB", made.peak_rss_bytes >> 20],
    ]
    print_rows(form, ("what", "of", "value"), [*rows, ["adapter", "sha256", made.adapter_sha256]])
