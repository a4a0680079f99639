"""The commands of `bandit`: serve a policy, learn, replay, audit; `up` starts it all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from bandit.errors import BanditError
from streams.command_line import Data, LogUrl, log_url
from streams.errors import StreamsError
from streams.process import run_command

app = typer.Typer(
    help="The policy: serve, learn, replay, audit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up(
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    host: Annotated[str, typer.Option(help="The address that the API listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port that the API listens on.")] = 8080,
    generator: Annotated[bool, typer.Option(help="Run the generator as well.")] = True,
    model: Annotated[
        str, typer.Option(help="The generator's model: smollm2, a path, or a hub id.")
    ] = "smollm2",
) -> None:
    """Start everything: API, joiner, learner, archive and generator.

    They meet through the log alone; one that dies is started again. Ctrl-C stops them cleanly.
    """
    from bandit.service.supervisor import ProcessSpec
    from bandit.service.supervisor import up as supervise
    from streams.process import log_to_stderr, stop_on_signals

    log_to_stderr("up")
    stop = stop_on_signals()
    data.mkdir(parents=True, exist_ok=True)
    place = ["--log", log_url(log, data), "--data", str(data)]
    python = [sys.executable, "-m"]
    listen = ["--host", host, "--port", str(port)]
    specs = [
        ProcessSpec("api", [*python, "bandit", "serve", *place, *listen]),
        ProcessSpec("join", [*python, "streams", "join", *place]),
        ProcessSpec("learn", [*python, "bandit", "learn", *place]),
        ProcessSpec("archive", [*python, "streams", "archive", *place]),
    ]
    if generator:
        specs.append(
            ProcessSpec("generator", [*python, "generator", "run", *place, "--model", model])
        )
    raise typer.Exit(supervise(specs, stop=stop))


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
) -> None:
    """Serve the policy query API, until stopped.

    Every setting can also come from the environment, such as COPYLOOP_PORT; an option wins.
    """
    from bandit.service.server import serve as run
    from bandit.service.settings import load_settings
    from streams.process import log_to_stderr

    log_to_stderr("api")
    run(load_settings({"data": data, "log": log, "host": host, "port": port}))


@app.command()
def learn(data: Data = Path("copyloop-data"), log: LogUrl = None) -> None:
    """Fold interactions into policies and publish them, until stopped."""
    from bandit.service.learner import run_learner
    from streams.process import long_running

    with long_running("learn", log_url(log, data)) as (opened, stop):
        run_learner(opened, data / "checkpoints", stop=stop)


@app.command()
def replay(
    path: Annotated[Path, typer.Argument(help="Parquet or CSV, a row an arm of a test.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(help="thompson, thompson:alpha=1,beta=1, 'vw:--cb_explore_adf …'; repeat."),
    ] = None,
    form: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
    plot: Annotated[
        Path | None, typer.Option(help="Draw cumulative lift into this .png or .svg.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Play everything this many times.")] = 1,
    horizon: Annotated[int, typer.Option(help="The most rounds a test lasts.")] = 2000,
    min_headlines: Annotated[int, typer.Option(help="Leave out tests with fewer.")] = 3,
    min_impressions: Annotated[int, typer.Option(help="Leave out tests with fewer an arm.")] = 1000,
    exclude_weeks: Annotated[
        str, typer.Option(help="First-last week to leave out, YYYYWW-YYYYWW; none: keep all.")
    ] = "201326-201402",
) -> None:
    """Play policies on the A/B tests of a file, and compare what they would have earned.

    Every showing draws from the arm's real impressions without replacement, so the replay is
    unbiased for any policy. Columns: clickability_test_id, headline, impressions, clicks,
    test_week.
    """
    from rich.console import Console

    from bandit.plot import check_plot, plot_replay
    from bandit.replay import run_replay

    if plot:
        check_plot(plot)
    report = run_replay(
        path,
        policy or ["thompson", "uniform"],
        seeds=seeds,
        horizon=horizon,
        min_headlines=min_headlines,
        min_impressions=min_impressions,
        exclude_weeks=_weeks(exclude_weeks),
        console=Console(stderr=True),
    )
    if plot:
        plot_replay(report, plot)
    if form == "json":
        typer.echo(report.to_json())
    else:
        Console().print(report.to_table())


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


def _weeks(text: str) -> tuple[int, int] | None:
    if text == "none":
        return None
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal()):
        raise typer.BadParameter(f"--exclude-weeks {text!r}: expected YYYYWW-YYYYWW, or none")
    return int(first), int(last)


if __name__ == "__main__":
    run_command(app, StreamsError, BanditError)
