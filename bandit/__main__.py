"""The commands of `bandit`: serve a policy, learn, replay, audit; `up` starts it all."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from bandit import (
    doctor_command,
    forget_command,
    import_commands,
    key_commands,
    policy_commands,
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
from streams.process import run_command

TextEmbedding = Annotated[
    Literal["wordllama", "minilm"] | None,
    typer.Option(help="What reads texts.", show_default="minilm if installed, else wordllama"),
]

if TYPE_CHECKING:
    # Numpy is loaded when a command needs it, not to print the help.
    from bandit.features import Embedding

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
app.command()(doctor_command.doctor)


@app.command()
def up(
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    host: Annotated[str, typer.Option(help="The address that the API listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port that the API listens on.")] = 8080,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="How many processes serve the API's port.")
    ] = 1,
    generator: Annotated[bool, typer.Option(help="Run the generator as well.")] = True,
    model: Annotated[
        str, typer.Option(help="The generator's model: smollm2, a path, or a hub id.")
    ] = "smollm2",
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
    """Start everything: API, joiner, learner, archive and generator; with a mapping, ingest.

    They meet through the log alone; one that dies is started again. Ctrl-C stops them cleanly.
    """
    from bandit.service.processes import MetricsPorts, process_specs
    from bandit.service.settings import load_settings
    from bandit.service.supervisor import up as supervise
    from bandit.service.workers import DRAIN_MARGIN_SECONDS
    from streams.log_lines import log_to_stderr
    from streams.mapping import read_mapping
    from streams.process import stop_on_signals

    if source and not mapping:
        raise typer.BadParameter("--source is of mapped topics; name at least one --mapping")
    for file in mapping or []:
        # A mapping that cannot be is told before anything is started.
        read_mapping(file)
    api = ["--host", host, "--port", str(port), "--workers", str(workers)]
    own = {"api": api, "join": [], "learn": [], "archive": []}
    if generator:
        own["generator"] = ["--model", model]
    if mapping:
        own["ingest"] = [word for file in mapping for word in ("--mapping", str(file))]
        own["ingest"] += ["--source", source] if source else []
    settings = load_settings({"data": data, "log": log, "host": host, "port": port})
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
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
    worker_folder: Annotated[Path | None, typer.Option(hidden=True)] = None,
    log_format: LogFormat = "text",
) -> None:
    """Serve the policy query API, until stopped.

    Every setting can also come from the environment, such as COPYLOOP_PORT; an option wins.
    """
    from bandit.service.operations.request_ids import mark_all
    from bandit.service.server import serve as run
    from bandit.service.settings import load_settings
    from bandit.service.workers import Worker, serve_workers
    from streams.log_lines import log_to_stderr

    log_to_stderr(worker or "api", log_format)
    mark_all()
    settings = load_settings(
        {"data": data, "log": log, "host": host, "port": port, "workers": workers}
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
def replay(
    path: Annotated[Path, typer.Argument(help="Parquet or CSV, a row an arm of a test.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(help="default, thompson:alpha=1,beta=1, 'vw:--cb_…', spec.json; repeat."),
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
    embedding: TextEmbedding = None,
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
        policy or ["default", "uniform"],
        seeds=seeds,
        horizon=horizon,
        min_headlines=min_headlines,
        min_impressions=min_impressions,
        exclude_weeks=_weeks(exclude_weeks),
        embedding=_embedding(embedding),
        console=Console(stderr=True),
    )
    if plot:
        plot_replay(report, plot)
    if form == "json":
        typer.echo(report.to_json())
    else:
        Console().print(report.to_table())


@app.command()
def fit_prior(
    path: Annotated[
        Path,
        typer.Argument(
            help="An archive (folder), or finished tests: Parquet or CSV, a row an arm."
        ),
    ],
    placement: Annotated[
        str | None, typer.Option(help="Of an archive: only this one.", show_default="all")
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(help="Of tests: the last week (YYYYWW) to learn from.", show_default="all"),
    ] = None,
    min_headlines: Annotated[int, typer.Option(help="Leave out tests with fewer.")] = 2,
    min_impressions: Annotated[int, typer.Option(help="Leave out tests with fewer an arm.")] = 100,
    exclude_weeks: Annotated[
        str, typer.Option(help="First-last week to leave out, YYYYWW-YYYYWW; none: keep all.")
    ] = "201326-201402",
    embedding: TextEmbedding = None,
) -> None:
    """Learn which creatives are clicked, from what was, and print a policy that knows it.

    From the archive of a log it takes all placements together, by what was offered beside each
    creative, with the features that they have in the log. The policy is JSON, for a placement
    (`copyloop policy promote home --policy policy.json`) or for `replay --policy`. To judge it,
    replay tests that it was not learned from, such as later ones.
    """
    from bandit.ab_tests import read_ab_tests
    from bandit.contrasts import contrasts_of_log, contrasts_of_tests
    from bandit.prior import fit_prior as fit
    from bandit.readers.archive import read_interactions

    if path.is_dir():
        data = contrasts_of_log(lambda: read_interactions(path, placement=placement))
    else:
        tests = read_ab_tests(
            path,
            min_headlines=min_headlines,
            min_impressions=min_impressions,
            exclude_weeks=_weeks(exclude_weeks),
        )
        kept = [test for test in tests if until is None or test.week <= until]
        data = contrasts_of_tests(kept, _embedding(embedding))
    prior = fit(data)
    typer.echo(msgspec.json.encode(prior.spec).decode())
    typer.echo(
        f"{prior.explained:.1%} of the variance between {len(data.y)} creatives was foretold of"
        f" those held out; beyond that their rates differ as {prior.strength:g} clicks would tell",
        err=True,
    )


@app.command()
def fit_delay(
    path: Annotated[Path, typer.Argument(help="The archive of a log: a folder.")],
    placement: Annotated[
        str | None, typer.Option(help="Only this one.", show_default="all")
    ] = None,
) -> None:
    """Learn how long rewards take, and print a policy that does not hold that against the young.

    With it, a showing counts as far as its rewards have had time to come, so creatives of today
    are judged as fairly as those of last week. Worth it where rewards take hours or days, and
    creatives do not live much longer.
    """
    from bandit.delays import fit_delay as fit
    from bandit.delays import interactions_in

    delay = fit(interactions_in(path, placement))
    typer.echo(msgspec.json.encode({"name": "text_thompson", "delay": delay}).decode())
    half, most = delay[len(delay) // 2 - 1], delay[-2]
    typer.echo(f"half of the rewards take {half:g} s or less, 95 % {most:g} s", err=True)


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


def _embedding(name: Embedding | None) -> Embedding:
    """Returns the embedding, having said which if nobody chose it."""
    if name is not None:
        return name
    from bandit.features import default_embedding

    found = default_embedding()
    hint = "" if found == "minilm" else "; with minilm, an extra, texts foretell twice as much"
    typer.echo(f"texts are read with {found}{hint}", err=True)
    return found


def _weeks(text: str) -> tuple[int, int] | None:
    if text == "none":
        return None
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal()):
        raise typer.BadParameter(f"--exclude-weeks {text!r}: expected YYYYWW-YYYYWW, or none")
    return int(first), int(last)


if __name__ == "__main__":
    run_command(app, StreamsError, BanditError)
