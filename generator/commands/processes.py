"""The processes of `generator`: one that answers requests, and one that teaches new versions."""

from __future__ import annotations

from typing import Annotated

import typer

from bandit.commands.processes import Model, Share, TeachOptions, TrialDecisions
from generator.commands.options import BareModel, Gates, Reader
from streams.commands.options import LogFormat, LogOptions, MetricsOptions, running
from streams.events.creatives import CANARY_SHARE, TRIAL_DECISIONS


def run(
    at: LogOptions,
    metrics: MetricsOptions,
    model: Model = "smollm2",
    reader: Reader = "wordllama",
    thresholds: Gates = None,
    trial_decisions: TrialDecisions = TRIAL_DECISIONS,
) -> None:
    """Generate creatives for the requests in the log, until stopped."""
    from generator.models.opening import check_installed
    from generator.screening.settings import load_thresholds
    from generator.versions.store import versions_in
    from generator.worker import COUNTED, GeneratorCounts, run_generator

    check_installed(model)
    counts = GeneratorCounts()
    with running("generator", at, metrics) as process:
        process.metrics.add_counts("generator", counts, COUNTED)
        run_generator(
            process.log,
            at.data / "checkpoints",
            model=model,
            stop=process.stop,
            counts=counts,
            material=at.data / "material",
            versions=versions_in(at.data),
            reader=reader,
            thresholds=load_thresholds(thresholds),
            trial_decisions=trial_decisions,
            ready=process.ready,
        )


def teach(
    at: LogOptions,
    teaching: TeachOptions,
    model: BareModel = "smollm2",
    every_hours: Annotated[
        float | None,
        typer.Option(min=0.01, help="Also after so long, by the log's time, if pairs changed."),
    ] = None,
    reader: Reader = "wordllama",
    share: Share = CANARY_SHARE,
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

    # A file that cannot be is told now, and not after hours of training.
    gate_config(teaching.gate)
    if teaching.config is not None:
        load_config(teaching.config)
    schedule = Schedule(
        new_pairs=teaching.pairs,
        every_hours=every_hours,
        look_seconds=teaching.look_seconds,
        cpu_seconds=cpu_seconds,
        memory_gb=memory_gb,
        hours=hours,
        model=model,
        config=None if teaching.config is None else str(teaching.config),
        reader=reader,
        gate=None if teaching.gate is None else str(teaching.gate),
        share=share,
        practise=teaching.practise,
    )
    with (
        running("teach", at, MetricsOptions(log_format=log_format)) as process,
        exclusive(at.data / "checkpoints", "teach"),
    ):
        process.ready()
        teacher = Teacher(process.log, at.url, at.data, schedule, process.stop)
        if once:
            teacher.turn()
        else:
            teacher.run()
