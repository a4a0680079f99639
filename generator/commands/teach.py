"""`copyloop generator teach`: new versions by themselves, whenever there is enough to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.command_line import Data, LogFormat, LogUrl, log_url
from streams.generator_versions import CANARY_SHARE


def teach(
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    model: Annotated[
        str, typer.Option(help="What is taught: smollm2, a folder, or a hub id.")
    ] = "smollm2",
    pairs: Annotated[
        int, typer.Option(min=1, help="How many new confident pairs make a new version.")
    ] = 100,
    every_hours: Annotated[
        float | None,
        typer.Option(min=0.01, help="Also after so long, by the log's time, if pairs changed."),
    ] = None,
    look_seconds: Annotated[float, typer.Option(min=0.1, help="Between looks.")] = 600.0,
    config: Annotated[
        Path | None, typer.Option(help="How to train; see generator finetune --config.")
    ] = None,
    reader: Annotated[
        str, typer.Option(help="What reads texts for the gate; see generator reward-model.")
    ] = "wordllama",
    gate: Annotated[
        Path | None, typer.Option(help="A YAML file of the gate's bounds and samples.")
    ] = None,
    share: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="The most traffic of a version on trial.")
    ] = CANARY_SHARE,
    practise: Annotated[
        int,
        typer.Option(
            min=0,
            help="Texts of each brief that a version writes, once trained, to learn from the "
            "better half; 0: none. See generator practise.",
        ),
    ] = 0,
    cpu_seconds: Annotated[
        int, typer.Option(min=60, help="What a step may compute, or it is ended.")
    ] = 4 * 3600,
    memory_gb: Annotated[
        float, typer.Option(min=0.5, help="What a step may allocate, or it fails.")
    ] = 8.0,
    hours: Annotated[float, typer.Option(min=0.01, help="How long a step may take.")] = 12.0,
    once: Annotated[bool, typer.Option(help="Look once, teach if it is due, and end.")] = False,
    log_format: LogFormat = "text",
) -> None:
    """Teach the generator what won, again and again, until stopped.

    When enough new pairs of texts are surely told apart, a version is trained, a reward model is
    learned, and the version is judged, each in a process of its own with limits. One that passes
    the gate goes on trial with a small share of the traffic, and nothing is taught until that is
    decided.
    """
    from generator.commands.versions import gate_config
    from generator.training.config import load_config
    from generator.versions.schedule import Schedule, Teacher
    from streams.checkpoint import exclusive
    from streams.process import long_running

    # A file that cannot be is told now, and not after hours of training.
    gate_config(gate)
    if config is not None:
        load_config(config)
    schedule = Schedule(
        new_pairs=pairs,
        every_hours=every_hours,
        look_seconds=look_seconds,
        cpu_seconds=cpu_seconds,
        memory_gb=memory_gb,
        hours=hours,
        model=model,
        config=None if config is None else str(config),
        reader=reader,
        gate=None if gate is None else str(gate),
        share=share,
        practise=practise,
    )
    url = log_url(log, data)
    with (
        long_running("teach", url, log_format=log_format) as running,
        exclusive(data / "checkpoints", "teach"),
    ):
        teacher = Teacher(running.log, url, data, schedule, running.stop)
        if once:
            teacher.turn()
        else:
            teacher.run()
