"""Puts the API together: the hot routes in front, FastAPI behind, one life for both."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi_offline import FastAPIOffline

from bandit.features.flatten import creative_features
from bandit.service.api import ROUTERS
from bandit.service.api.access import KeyService
from bandit.service.api.editor import Editor
from bandit.service.asgi import AsgiApp
from bandit.service.auth.caller import DOCS_ASSETS
from bandit.service.auth.guard import Guard, Rates
from bandit.service.auth.keys import KeyRing
from bandit.service.auth.local_callers import LocalCallers
from bandit.service.auth.privacy import PrivacyFilter
from bandit.service.auth.tls_cors import check_exposure, edge_options, for_origins
from bandit.service.auth.tokens import Tokens
from bandit.service.compat.openfeature import routes as openfeature
from bandit.service.compat.openfeature.flags import Assignments, Flags
from bandit.service.compat.personalizer.loops import Loops
from bandit.service.compat.personalizer.router import PersonalizerRouter
from bandit.service.decide import Decider
from bandit.service.errors import refuse_alike
from bandit.service.evaluations import routes as evaluation_routes
from bandit.service.evaluations.jobs import Jobs
from bandit.service.figures import routes as figure_routes
from bandit.service.figures.fold import FiguresFold
from bandit.service.hot import HotRouter
from bandit.service.log_writer import Appender
from bandit.service.openapi import REFUSED, add_hot_routes
from bandit.service.ops import health
from bandit.service.ops.health import Drain
from bandit.service.ops.metrics import Metrics, WorkerMetrics
from bandit.service.ops.traces import TracedApp, Traces, open_traces
from bandit.service.placement_access import check_reach
from bandit.service.record import Recorder
from bandit.service.screening import PostedScreen
from bandit.service.settings import Settings
from bandit.service.spooling import LogThread, Spooling
from bandit.service.state import Snapshots
from bandit.service.workers.server import ReadyServer
from bandit.service.workers.supervise import BACKLOG, Worker, bound
from streams.logs.base import Log
from streams.logs.embedded import wall_clock_ms
from streams.logs.opening import open_log, redacted
from streams.metrics import LogCollector
from streams.process import stop_on_signals
from streams.spool import Spool, claimed_spool
from streams.topic_checks import warn_of_topics
from streams.topics import create_topics

TITLE: Final = "copyloop"
DESCRIPTION: Final = """Choose a creative, say what came of it, and the policy learns.

Every refusal is `{"error": {"code", "message", "target"}}`: `code` is stable, `target` says where
in the request it is, null where that is plain."""


class Parts(NamedTuple):
    """What lives as long as the application does, and is started and stopped with it."""

    log: Log
    settings: Settings
    clock_ms: Callable[[], int]
    snapshots: Snapshots
    ring: KeyRing
    assignments: Assignments
    metrics: Metrics
    appender: Appender
    figures: FiguresFold
    jobs: Jobs
    drain: Drain
    traces: Traces | None
    siblings: WorkerMetrics | None


def create_app(
    log: Log,
    settings: Settings,
    *,
    spool: Spool | None = None,
    clock_ms: Callable[[], int] = wall_clock_ms,
    worker: Worker | None = None,
    screen: PostedScreen | None = None,
) -> AsgiApp:
    """Returns the ASGI application that serves the placements of a log.

    Args:
        log: must have its topics; it is not closed.
        settings: limits and durability.
        spool: where decisions and outcomes wait while the log is away; it is not closed.
        clock_ms: the time that decisions and outcomes carry.
        worker: who this is among several that serve one port; None if it is alone.
        screen: what creatives are screened by that are posted; None if there is no such thing.
    """
    parts = _parts(log, settings, spool, clock_ms, worker)
    metrics, traces = parts.metrics, parts.traces
    rest = _rest(partial(_life, parts))
    rest.state.screen = screen
    router = _router(parts, rest)
    rates = Rates(settings.rate_per_second, settings.rate_burst_seconds)
    tokens = Tokens(settings) if settings.jwt_jwks_url else None
    local = None if settings.open_to_network else LocalCallers(settings.cors_origins)
    guard = Guard(router, parts.ring, rates, tokens, local, check_reach)
    metrics.add(guard)
    traced = guard if traces is None else TracedApp(guard, traces)
    return for_origins(traced, settings.cors_origins)


def _parts(
    log: Log,
    settings: Settings,
    spool: Spool | None,
    clock_ms: Callable[[], int],
    worker: Worker | None,
) -> Parts:
    logs = LogCollector()
    log = logs.metered(log, "log")
    snapshots = Snapshots(log)
    metrics = Metrics(snapshots, clock_ms, spool)
    metrics.add(logs)
    traces = open_traces(settings, "api")
    return Parts(
        log=log,
        settings=settings,
        clock_ms=clock_ms,
        snapshots=snapshots,
        ring=KeyRing(log, clock_ms),
        assignments=Assignments(log, clock_ms),
        metrics=metrics,
        appender=_appender(log, settings, spool, clock_ms, metrics, traces),
        figures=FiguresFold(log, clock_ms, snapshots.catalogue),
        jobs=Jobs(settings),
        drain=Drain(settings.drain_notice_seconds),
        traces=traces,
        siblings=None if worker is None else WorkerMetrics(worker, metrics.text),
    )


def _appender(
    log: Log,
    settings: Settings,
    spool: Spool | None,
    clock_ms: Callable[[], int],
    metrics: Metrics,
    traces: Traces | None,
) -> Appender:
    thread = LogThread(log, on_append=metrics.group, around=traces.of if traces else nullcontext)
    spooling = None
    if spool is not None:
        spooling = Spooling(
            thread,
            spool,
            patience_seconds=settings.spool_after_seconds,
            clock_ms=clock_ms,
            on_spooled=metrics.spooled,
            on_forwarded=metrics.forwarded,
        )
    buffered = settings.durability == "buffered"
    return Appender(thread, limit=settings.max_waiting, spooling=spooling, buffered=buffered)


@asynccontextmanager
async def _life(parts: Parts, app: FastAPI) -> AsyncIterator[None]:
    parts.drain.watch()
    parts.ring.start()
    parts.snapshots.start()
    parts.appender.start()
    parts.assignments.start()
    # the first text embedding loads its weights: before the first creative, not during it
    await run_in_threadpool(creative_features, {"text": "what the first text is about"})
    app.openapi()  # FastAPI makes its routes when they are first asked for: before a request is
    parts.jobs.resume()
    if parts.siblings is not None:
        await parts.siblings.start()
    yield
    parts.assignments.stop()
    parts.figures.stop()
    await parts.jobs.close()
    if parts.siblings is not None:
        parts.siblings.stop()
    await parts.appender.close()
    parts.snapshots.stop()
    parts.ring.stop()
    if parts.traces is not None:
        parts.traces.close()


def _router(parts: Parts, rest: FastAPI) -> AsgiApp:
    """Returns what answers each request: the hot routes, Personalizer's, and `rest` the others.

    What the routes of `rest` ask for is in its state by then.
    """
    log, settings, clock_ms, snapshots = parts[:4]
    metrics, appender, state = parts.metrics, parts.appender, rest.state
    privacy = PrivacyFilter(settings.private_salt, settings.reward_secret)
    decider = Decider(appender, metrics, settings, clock_ms, privacy)
    recorder = Recorder(appender, metrics, clock_ms, privacy)
    told = metrics.text if parts.siblings is None else parts.siblings.text
    state.protection, state.decider, state.recorder = privacy, decider, recorder
    state.snapshots, state.log, state.ui_port = snapshots, log, settings.ui_port
    state.editor = Editor(log, snapshots, appender, clock_ms)
    state.keys = KeyService(parts.ring, appender, clock_ms)
    state.figures, state.jobs = parts.figures, parts.jobs
    state.flags = Flags(snapshots, decider, recorder, parts.assignments)
    state.health = health.Health(
        log, snapshots, appender, told, settings, clock_ms, parts.drain, parts.ring
    )
    hot = HotRouter(rest, snapshots, decider, recorder, metrics, settings)
    loops = Loops(
        snapshots, state.editor, decider, recorder, metrics, settings, parts.jobs, clock_ms
    )
    return PersonalizerRouter(hot, loops)


def _rest(life: Callable[[FastAPI], Any]) -> FastAPI:
    """Returns the part of the API that FastAPI serves."""
    app = FastAPIOffline(
        static_url=DOCS_ASSETS,
        title=TITLE,
        description=DESCRIPTION,
        version=version("copyloop"),
        lifespan=life,
        redirect_slashes=False,
    )
    for router in (
        *ROUTERS,
        openfeature.router,
        figure_routes.router,
        evaluation_routes.router,
        health.checkup_router,
        health.router,
    ):
        app.include_router(router, responses=REFUSED)
    refuse_alike(app)

    made_by_fastapi = app.openapi

    def document() -> dict[str, Any]:
        return app.openapi_schema or add_hot_routes(made_by_fastapi())

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


logger = logging.getLogger(__name__)


def serve(
    settings: Settings, worker: Worker | None = None, screen: PostedScreen | None = None
) -> None:
    """Serves until SIGTERM or SIGINT.

    Then no request is taken any more, those in flight are answered, and what waits for the log
    is appended, or stays on disk for the next start if that is away.

    Args:
        settings: how to; with a worker, `workers` of them says nothing here.
        worker: who this is among several that share the port; None if it is alone.
        screen: what creatives are screened by that are posted.

    Raises:
        SettingError: the address cannot be listened on.
        LogError: the log cannot be opened.
        SpoolDamaged: what an earlier run left on disk cannot be read.
    """
    # uvicorn ends by raising the signal again, for whoever handled it before: that is us, and
    # so the process returns from here instead of dying of it.
    stop = stop_on_signals()
    listening = bound(settings, shared=worker is not None)
    try:
        listening.listen(BACKLOG)
        log = open_log(settings.log_url)
        create_topics(log)
        warn_of_topics(log)
        ring = KeyRing(log, wall_clock_ms)
        ring.catch_up()
        check_exposure(settings, ring)
        with _spool(settings) as spool:
            app = create_app(log, settings, spool=spool, worker=worker, screen=screen)
            server = ReadyServer(server_config(app, settings))
            host, port = listening.getsockname()[:2]
            scheme = "https" if settings.tls_cert else "http"
            place = redacted(settings.log_url)
            logger.info("serving %s on %s://%s:%d", place, scheme, host, port)
            server.should_exit = stop.is_set()
            # Modules and all else that stays is not looked through for garbage again and again.
            gc.collect()
            gc.freeze()
            server.run(sockets=[listening])
            log.close()
    finally:
        listening.close()


def server_config(app: object, settings: Settings) -> uvicorn.Config:
    """Returns how uvicorn is to run the application."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's types of messages are narrower than ASGI's
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.drain_seconds,
        **edge_options(settings),
    )


def _spool(settings: Settings) -> AbstractContextManager[Spool | None]:
    """Returns where to write while the log is away: only one on a network goes away by itself."""
    if not settings.spool_max_bytes or not settings.log_url.startswith("kafka://"):
        return nullcontext()
    return claimed_spool(settings.data / "spool", settings.spool_max_bytes)
