"""The commands of `bandit`: serve a policy, learn, replay, audit; `up` starts it all."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from bandit import (
    dashboard_command,
    doctor_command,
    forget_command,
    import_commands,
    key_commands,
    policy_commands,
    replay_commands,
    review_commands,
)
from bandit.errors import BanditError
from bandit.evaluation.commands import evaluate, tune
from streams.command_line import (
    LOCALHOST,
    Data,
    LogFormat,
    LogUrl,
    MappingFiles,
    MetricsHost,
    MetricsPort,
    SourceUrl,
    log_url,
)
from streams.errors import StreamsError
from streams.generator_versions import CANARY_SHARE, TRIAL_DECISIONS
from streams.process import run_command

app = typer.Typer(
    help="The policy: serve, learn, replay, audit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(policy_commands.app, name="policy")
app.add_typer(key_commands.app, name="keys")
app.add_typer(import_commands.app, name="import")
app.add_typer(review_commands.app, name="creatives")
app.command()(key_commands.acts)
app.command()(evaluate)
app.command()(tune)
app.command()(forget_command.forget)
app.command()(replay_commands.replay)
app.command()(replay_commands.fit_prior)
app.command()(replay_commands.fit_delay)
app.command()(doctor_command.doctor)
app.command()(dashboard_command.dashboard)


@app.command()
def up(
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    host: Annotated[str, typer.Option(help="The address that the API listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port that the API listens on.")] = 8080,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="How many processes serve the API's port.")
    ] = 1,
    ui: Annotated[bool, typer.Option(help="Serve the dashboard as well, at /ui.")] = True,
    ui_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="The dashboard's port.", show_default="the API's + 1"),
    ] = None,
    generator: Annotated[bool, typer.Option(help="Run the generator as well.")] = True,
    model: Annotated[
        str, typer.Option(help="The generator's model: smollm2, a path, or a hub id.")
    ] = "smollm2",
    finetune: Annotated[
        bool, typer.Option(help="Teach the generator what won, by itself; see generator teach.")
    ] = False,
    finetune_pairs: Annotated[
        int, typer.Option(min=1, help="How many new confident pairs make a new version.")
    ] = 100,
    finetune_look_seconds: Annotated[
        float, typer.Option(min=0.1, help="Between looks at how many pairs there are.")
    ] = 600.0,
    finetune_config: Annotated[
        Path | None, typer.Option(help="How to train; see generator finetune --config.")
    ] = None,
    finetune_gate: Annotated[
        Path | None, typer.Option(help="How to judge a version; see generator adopt --gate.")
    ] = None,
    finetune_practise: Annotated[
        int,
        typer.Option(min=0, help="Texts of a brief to practise with; see generator teach."),
    ] = 0,
    trial_share: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="The most traffic of a version on trial.")
    ] = CANARY_SHARE,
    trial_decisions: Annotated[
        int,
        typer.Option(min=1, help="After so many a version on trial that is no better is pulled."),
    ] = TRIAL_DECISIONS,
    mapping: MappingFiles = None,
    source: SourceUrl = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_000,
            help="Serve Prometheus metrics of join, learn, archive, generator and ingest on this "
            "port and the four after it, in this order; 0: any ports. The API has /metrics.",
        ),
    ] = None,
    metrics_host: MetricsHost = LOCALHOST,
    log_format: LogFormat = "text",
) -> None:
    """Start everything: API, joiner, learner, archive, generator, dashboard; ingest with a mapping.

    They meet through the log alone; one that dies is started again. Ctrl-C stops them cleanly.
    """
    from bandit.service.processes import MetricsPorts, process_specs
    from bandit.service.settings import load_settings
    from bandit.service.supervisor import up as supervise
    from bandit.service.workers import DRAIN_MARGIN_SECONDS
    from streams.log_lines import log_to_stderr
    from streams.mapping import read_mapping
    from streams.process import stop_on_signals

    if finetune and not generator:
        raise typer.BadParameter("--finetune teaches the generator; leave out --no-generator")
    if source and not mapping:
        raise typer.BadParameter("--source is of mapped topics; name at least one --mapping")
    for file in mapping or []:
        # A mapping that cannot be is told before anything is started.
        read_mapping(file)
    settings = load_settings({"data": data, "log": log, "host": host, "port": port})
    tls = settings.tls_cert is not None
    pages = None
    if ui:
        pages = dashboard_command.beside(host, port, ui_port, tls=tls, log_format=log_format)
    api = ["--host", host, "--port", str(port), "--workers", str(workers)]
    api += ["--ui-port", str(pages.port)] if pages else []
    own = {"api": api, "join": [], "learn": [], "archive": []}
    if generator:
        own["generator"] = ["--model", model, "--trial-decisions", str(trial_decisions)]
    if finetune:
        own["teach"] = ["--model", model, "--pairs", str(finetune_pairs)]
        own["teach"] += ["--look-seconds", str(finetune_look_seconds)]
        own["teach"] += ["--share", str(trial_share), "--practise", str(finetune_practise)]
        own["teach"] += ["--config", str(finetune_config)] if finetune_config else []
        own["teach"] += ["--gate", str(finetune_gate)] if finetune_gate else []
    if mapping:
        own["ingest"] = [word for file in mapping for word in ("--mapping", str(file))]
        own["ingest"] += ["--source", source] if source else []
    if pages:
        own["ui"] = pages.options
    log_to_stderr("up", log_format)
    stop = stop_on_signals()
    data.mkdir(parents=True, exist_ok=True)
    place = ["--log", log_url(log, data), "--data", str(data), "--log-format", log_format]
    metrics = None if metrics_port is None else MetricsPorts(metrics_host, metrics_port)
    # What the API may take to end, and its workers before it, none of which is to be cut short.
    drain_seconds = settings.drain_notice_seconds + settings.drain_seconds
    raise typer.Exit(
        supervise(
            process_specs(place, own, metrics),
            stop=stop,
            grace_seconds=drain_seconds + 2 * DRAIN_MARGIN_SECONDS,
            prefixed=log_format == "text",
        )
    )


@app.command()
def serve(
    data: Annotated[
        Path | None,
        typer.Option(help="The folder of the log and all else.", show_default="copyloop-data"),
    ] = None,
    log: LogUrl = None,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="The port to listen on; 0: any.", show_default="8080")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="How many processes serve the port.", show_default="1")
    ] = None,
    ui_port: Annotated[
        int | None, typer.Option(help="Where the dashboard is: /ui leads there.")
    ] = None,
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
    worker_folder: Annotated[Path | None, typer.Option(hidden=True)] = None,
    log_format: LogFormat = "text",
) -> None:
    """Serve the policy query API, until stopped.

    Every setting can also come from the environment, such as COPYLOOP_PORT; an option wins.
    """
    from bandit.service.refusals import mark_all_lines
    from bandit.service.server import serve as run
    from bandit.service.settings import load_settings
    from bandit.service.workers import Worker, serve_workers
    from streams.log_lines import log_to_stderr

    log_to_stderr(worker or "api", log_format)
    mark_all_lines()
    settings = load_settings(
        {
            "data": data,
            "log": log,
            "host": host,
            "port": port,
            "workers": workers,
            "ui_port": ui_port,
        }
    )
    if worker is not None and worker_folder is not None:
        run(settings, Worker(worker, worker_folder))
    elif settings.workers > 1:
        raise typer.Exit(serve_workers(settings, log_format))
    else:
        run(settings)


@app.command()
def learn(
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    metrics_host: MetricsHost = LOCALHOST,
    metrics_port: MetricsPort = None,
    log_format: LogFormat = "text",
) -> None:
    """Fold interactions into policies and publish them, until stopped."""
    from bandit.service.learn_counts import LEARN, LearnCounts
    from bandit.service.learner import run_learner
    from bandit.service.operations.traces import open_traces
    from bandit.service.settings import load_settings
    from streams.process import long_running

    url, counts = log_url(log, data), LearnCounts()
    with long_running(
        "learn",
        url,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_format=log_format,
    ) as running:
        running.metrics.add_counts("learn", counts, LEARN)
        traces = open_traces(load_settings({}), "learn")
        run_learner(
            running.log,
            data / "checkpoints",
            stop=running.stop,
            counts=counts,
            around=nullcontext if traces is None else traces.of_batch,
        )
        if traces is not None:
            traces.close()


@app.command()
def audit(
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    form: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """Derive every logged propensity and draw again, and say which do not agree.

    Exits with 1 if any does not.
    """
    from rich.console import Console

    from bandit.audit import audit as run_audit
    from streams.log import open_log

    report = run_audit(open_log(log_url(log, data)))
    if form == "json":
        sys.stdout.write(report.to_json() + "\n")
    else:
        Console().print(report.to_table())
    raise typer.Exit(0 if report.clean else 1)


if __name__ == "__main__":
    run_command(app, StreamsError, BanditError)
