"""The processes of `bandit`: the API, the learner, and the dashboard.

`copyloop up` starts processes of `generator` as well, so what it passes on to them is here too.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from bandit.errors import SettingError
from streams.commands.options import (
    LogFormat,
    LogOptions,
    LogUrl,
    MetricsOptions,
    running,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandit.service.screening import PostedScreen
    from bandit.service.settings import Settings

MAX_PORT: Final = 65_535
NEEDED: Final = ("jinja2", "plotly")

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
GatesFile = Annotated[
    Path | None,
    typer.Option(
        "--gates",
        exists=True,
        dir_okay=False,
        help="Thresholds of the screen, for what is generated and posted; see copyloop gates.",
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


class ServeOptions(NamedTuple):
    """Where the API is, what it serves, and how many processes do so."""

    data: ServedData = None
    log: LogUrl = None
    host: Host = None
    port: Port = None
    workers: Workers = None
    ui_port: Annotated[
        int | None, typer.Option(help="Where the dashboard is: /ui leads there.")
    ] = None
    worker: Annotated[str | None, typer.Option(hidden=True)] = None
    worker_folder: Annotated[Path | None, typer.Option(hidden=True)] = None
    log_format: LogFormat = "text"


def serve(options: ServeOptions) -> None:
    """Serve the policy query API, until stopped.

    Every setting can also come from the environment, such as COPYLOOP_PORT; an option wins.
    """
    run_api(options)


def run_api(
    options: ServeOptions,
    *,
    screen: PostedScreen | None = None,
    command: Sequence[str] = ("bandit", "serve"),
) -> None:
    """Serves the API until stopped.

    Args:
        options: of the command line.
        screen: what creatives are screened by that are posted; None if there is no such thing.
        command: the module that each of several workers runs, and its first words.
    """
    from bandit.service.app import serve as run
    from bandit.service.errors import mark_all_lines
    from bandit.service.settings import load_settings
    from bandit.service.workers.supervise import Worker, serve_workers
    from streams.process import log_to_stderr

    worker, folder, log_format = options.worker, options.worker_folder, options.log_format
    log_to_stderr(worker or "api", log_format)
    mark_all_lines()
    named = ("data", "log", "host", "port", "workers", "ui_port")
    settings = load_settings({name: getattr(options, name) for name in named})
    if worker is not None and folder is not None:
        run(settings, Worker(worker, folder), screen)
    elif settings.workers > 1:
        raise typer.Exit(serve_workers(settings, log_format, command))
    else:
        run(settings, screen=screen)


def learn(at: LogOptions, metrics: MetricsOptions) -> None:
    """Fold interactions into policies and publish them, until stopped."""
    from bandit.learning.worker import LEARN, LearnCounts, run_learner
    from bandit.service.ops.traces import open_traces
    from bandit.service.settings import load_settings

    counts = LearnCounts()
    with running("learn", at, metrics) as process:
        process.metrics.add_counts("learn", counts, LEARN)
        traces = open_traces(load_settings({}), "learn")
        run_learner(
            process.log,
            at.data / "checkpoints",
            stop=process.stop,
            counts=counts,
            around=nullcontext if traces is None else traces.of_batch,
            ready=process.ready,
        )
        if traces is not None:
            traces.close()


def dashboard(
    api: Annotated[
        str, typer.Option(help="Where the API is.", show_default=True)
    ] = "http://127.0.0.1:8080",
    host: Host = None,
    port: Annotated[int, typer.Option(min=0, max=MAX_PORT, help="The port; 0: any.")] = 8081,
    log_format: LogFormat = "text",
) -> None:
    """Serve the dashboard's pages, until stopped; they are at /ui.

    It asks the API over HTTP with the key that people sign in with, and keeps nothing itself. TLS
    is set as for the API, by COPYLOOP_TLS_CERT and its like. With its own `--api`, it may run on
    another machine.
    """
    _check_installed()
    from bandit.dashboard.app import serve_dashboard
    from bandit.service.settings import load_settings
    from streams.process import log_to_stderr

    log_to_stderr("ui", log_format)
    serve_dashboard(load_settings({"host": host, "port": port}), api)


def beside(settings: Settings, ui_port: int | None, log_format: str) -> tuple[int, list[str]]:
    """Returns the port and the options of the dashboard of an API that `copyloop up` starts.

    Args:
        settings: of the API; the dashboard listens on the same address, and asks it over HTTPS
            if it has a certificate.
        ui_port: the dashboard's; the one after the API's if None.
        log_format: of its lines.

    Raises:
        SettingError: a package is missing, or nobody knows where the API will be.
    """
    _check_installed()
    host, api_port = settings.host, settings.port
    if api_port == 0:
        raise SettingError(
            "--port 0 leaves it to the system where the API is, and the dashboard has to know; "
            "name a port, or leave the dashboard out with --no-ui"
        )
    port = api_port + 1 if ui_port is None else ui_port
    if port == api_port or port > MAX_PORT:
        raise SettingError(f"--ui-port is {port}; expected one beside the API's {api_port}")
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where the API is asked then
    here = everywhere.get(host, host)
    here = f"[{here}]" if ":" in here else here
    scheme = "http" if settings.tls_cert is None else "https"
    api = f"{scheme}://{here}:{api_port}"
    return port, words(api=api, host=host, port=port, log_format=log_format)


def _check_installed() -> None:
    """Says what to install, before anything is started."""
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SettingError(
            f"the dashboard wants {' and '.join(missing)}: pip install 'copyloop[ui]', "
            "or leave it out with --no-ui"
        )
