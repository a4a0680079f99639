"""`copyloop generator doctor`: what the generator would compute with, without computing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.commands.options import Form
from streams.commands.output import print_rows


def doctor(
    config: Annotated[
        Path | None, typer.Option(help="A training's configuration, for what it asks for.")
    ] = None,
    accelerate: Annotated[
        Path | None,
        typer.Option(
            help="A configuration of accelerate's.", show_default="accelerate's own default file"
        ),
    ] = None,
    form: Form = "table",
) -> None:
    """Say what the generator found to compute with, what it would use, and what is missing.

    Nothing is loaded. Exits with 1 if something that a configuration asks for cannot be had.
    """
    from generator.errors import BackendMissing
    from generator.training.config import FinetuneConfig, load_config

    try:
        from generator.models.devices import examine, this_machine
        from generator.training.launching import examine_launch
    except ImportError as error:
        raise BackendMissing(f"{error}; pip install 'copyloop[finetune]'") from error
    asked = load_config(config) if config is not None else FinetuneConfig()
    machine = this_machine()
    found = [*examine(machine, quantize=asked.quantize), *examine_launch(accelerate, machine)]
    rows = [(each.of, each.found, each.used, "" if each.fine else "missing") for each in found]
    print_rows(form, ("of", "found", "used", ""), rows, [each._asdict() for each in found])
    if not all(each.fine for each in found):
        raise typer.Exit(1)
