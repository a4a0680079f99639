"""The options that several commands of `bandit` and `generator` have.

`copyloop up` starts processes of both, so what it passes on to them is declared here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

ServedData = Annotated[
    Path | None,
    typer.Option(help="The folder of the log and all else.", show_default="copyloop-data"),
]
Host = Annotated[
    str | None,
    typer.Option(help="The address to listen on.", show_default="127.0.0.1"),
]
Port = Annotated[
    int | None,
    typer.Option(help="The port that the API listens on; 0: any.", show_default="8080"),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=256, help="How many processes serve the API's port.", show_default="1"),
]
Model = Annotated[
    str,
    typer.Option(
        help="The generator's model: smollm2 (packaged), a folder, a hub id, URL#NAME, or a YAML "
        "file of models."
    ),
]
Share = Annotated[
    float,
    typer.Option(min=0.001, max=1.0, help="The most traffic of a version on trial."),
]
TrialDecisions = Annotated[
    int,
    typer.Option(min=1, help="After so many a version on trial that is no better is pulled."),
]


class TeachOptions(NamedTuple):
    """When the generator is taught a new version, and how that is trained and judged."""

    pairs: Annotated[
        int, typer.Option(min=1, help="How many new confident pairs make a new version.")
    ] = 100
    look_seconds: Annotated[
        float, typer.Option(min=0.1, help="Between looks at how many pairs there are.")
    ] = 600.0
    config: Annotated[
        Path | None, typer.Option(help="How to train; see generator finetune --config.")
    ] = None
    gate: Annotated[
        Path | None, typer.Option(help="A YAML file of the gate's bounds and samples.")
    ] = None
    practise: Annotated[
        int,
        typer.Option(
            min=0,
            help="Texts of each brief that a version writes, once trained, to learn from the "
            "better half; 0: none. See generator practise.",
        ),
    ] = 0
