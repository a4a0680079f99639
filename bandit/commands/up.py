"""`copyloop up`: the processes of one machine, each with its own command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bandit.commands.processes import (
    GatesFile,
    Host,
    Model,
    Port,
    Share,
    TeachOptions,
    TrialDecisions,
    Workers,
    beside,
)
from streams.commands.options import (
    LOCALHOST,
    LogFormat,
    LogOptions,
    MappingFiles,
    MetricsHost,
    SourceUrl,
    words,
)
from streams.events.creatives import CANARY_SHARE, TRIAL_DECISIONS

if TYPE_CHECKING:
    from bandit.service.workers.supervise import ProcessSpec

UI: Final = "ui"
"""The dashboard, which knows of the log and the data folder what the API tells it."""
MEASURED: Final = ("join", "learn", "archive", "generator", "ingest")
"""Who serves metrics on the base port, the one after it, and so on; the API has its own port."""
_MODULES: Final = {
    "api": ("bandit", "serve"),
    "join": ("streams", "join"),
    "learn": ("bandit", "learn"),
    "archive": ("streams", "archive"),
    "generator": ("generator", "run"),
    "teach": ("generator", "teach"),
    "ingest": ("streams", "ingest"),
    UI: ("bandit", "dashboard"),
}
_SCREENED: Final = {**_MODULES, "api": ("generator", "serve")}
"""The same with an API that screens what is posted, by gates that this package does not import."""


def up(
    *,
    at: LogOptions,
    host: Host = LOCALHOST,
    port: Port = 8080,
    workers: Workers = 1,
    ui: Annotated[bool, typer.Option(help="Serve the dashboard as well, at /ui.")] = True,
    ui_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="The dashboard's port.", show_default="the API's + 1"),
    ] = None,
    generator: Annotated[bool, typer.Option(help="Run the generator as well.")] = True,
    model: Model = "smollm2",
    finetune: Annotated[
        bool, typer.Option(help="Teach the generator what won, by itself; see generator teach.")
    ] = False,
    teaching: Annotated[TeachOptions, "finetune_"],
    trial_share: Share = CANARY_SHARE,
    trial_decisions: TrialDecisions = TRIAL_DECISIONS,
    gates: GatesFile = None,
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
    from bandit.service.settings import load_settings
    from bandit.service.workers.supervise import DRAIN_MARGIN_SECONDS
    from bandit.service.workers.supervise import up as supervise
    from streams.files.writing import make_folder
    from streams.ingest.mapping import read_mapping
    from streams.process import log_to_stderr, stop_on_signals
    from streams.restarts import FILE

    if finetune and not generator:
        raise typer.BadParameter("--finetune teaches the generator; leave out --no-generator")
    if source and not mapping:
        raise typer.BadParameter("--source is of mapped topics; name at least one --mapping")
    for file in mapping or []:
        # A mapping that cannot be is told before anything is started.
        read_mapping(file)
    settings = load_settings({**at._asdict(), "host": host, "port": port})
    ui_at, ui_options = beside(settings, ui_port, log_format) if ui else (None, [])
    own: dict[str, list[str]] = {
        "api": words(host=host, port=port, workers=workers, ui_port=ui_at, gates=gates),
        "join": [],
        "learn": [],
        "archive": [],
    }
    if generator:
        own["generator"] = words(model=model, trial_decisions=trial_decisions, gates=gates)
    if finetune:
        own["teach"] = words(model=model, share=trial_share, **teaching._asdict())
    if mapping:
        own["ingest"] = words(mapping=mapping, source=source)
    if ui:
        own[UI] = ui_options
    log_to_stderr("up", log_format)
    stop = stop_on_signals()
    make_folder(at.data)
    place = words(log=at.url, data=at.data, log_format=log_format)
    specs = process_specs(place, own, metrics_host, metrics_port, _SCREENED)
    # What the API may take to end, and its workers before it, none of which is to be cut short.
    drain_seconds = settings.drain_notice_seconds + settings.drain_seconds
    raise typer.Exit(
        supervise(
            specs,
            stop=stop,
            grace_seconds=drain_seconds + 2 * DRAIN_MARGIN_SECONDS,
            prefixed=log_format == "text",
            deaths=at.data / FILE,
        )
    )


def process_specs(
    place: Sequence[str],
    own: Mapping[str, Sequence[str]],
    metrics_host: str = LOCALHOST,
    metrics_port: int | None = None,
    modules: Mapping[str, tuple[str, str]] = _MODULES,
) -> list[ProcessSpec]:
    """Returns the processes to run, in the order of `own`.

    Args:
        place: the options that name the log and the data folder; every process has them but the
            dashboard.
        own: by the name of each process to run, the options that it alone has.
        metrics_host: the address that metrics are served on.
        metrics_port: the first port of those that serve metrics, 0 for any; None for no metrics.
        modules: the module that each process runs, and its command.
    """
    from bandit.service.workers.supervise import ProcessSpec
    from streams.process import module_command

    specs = []
    for name, options in own.items():
        given = [*(() if name == UI else place), *options]
        if metrics_port is not None and name in MEASURED:
            port = metrics_port and metrics_port + MEASURED.index(name)
            given += words(metrics_host=metrics_host, metrics_port=port)
        specs.append(ProcessSpec(name, module_command(*modules[name], *given), tells=True))
    return specs
