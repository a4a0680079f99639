"""Puts the API together: the hot routes in front, FastAPI behind, one life for both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.utils import get_openapi

from bandit.features import creative_features
from bandit.service import dashboard_door
from bandit.service.appender import Appender
from bandit.service.asgi import AsgiApp
from bandit.service.decide import Decider
from bandit.service.evaluations import routes as evaluation_routes
from bandit.service.evaluations.jobs import Jobs
from bandit.service.figures import routes as figure_routes
from bandit.service.figures.follower import FiguresFold, aim_of
from bandit.service.hot import HotRouter
from bandit.service.log_thread import LogThread
from bandit.service.openapi import REFUSED, add_hot_routes
from bandit.service.openfeature import routes as openfeature
from bandit.service.openfeature.assignments import Assignments
from bandit.service.openfeature.flags import Flags
from bandit.service.operations import checkup, health
from bandit.service.operations.drain import Drain
from bandit.service.operations.metrics import Metrics
from bandit.service.operations.siblings import WorkerMetrics
from bandit.service.operations.traces import TracedApp, open_traces
from bandit.service.personalizer.door import PersonalizerRouter
from bandit.service.personalizer.loops import Loops
from bandit.service.record import Recorder
from bandit.service.refusals import refuse_alike
from bandit.service.resources import ROUTERS
from bandit.service.resources.editor import Editor
from bandit.service.security import act_routes, caller_routes, key_routes
from bandit.service.security.edge import for_origins
from bandit.service.security.guard import Guard
from bandit.service.security.key_ring import KeyRing
from bandit.service.security.key_routes import KeyDesk
from bandit.service.security.protection import PrivacyFilter
from bandit.service.security.rates import Rates
from bandit.service.security.tokens import Tokens
from bandit.service.settings import Settings
from bandit.service.snapshots import Snapshots
from bandit.service.spooling import Spooling
from bandit.service.workers import Worker
from streams.embedded import wall_clock_ms
from streams.log import Log
from streams.metrics import LogCollector
from streams.spool import Spool

TITLE: Final = "copyloop"
DESCRIPTION: Final = """Choose a creative, say what came of it, and the policy learns.

Every refusal is `{"error": {"code", "message", "target"}}`: `code` is stable, `target` says where
in the request it is, null where that is plain."""


def create_app(
    log: Log,
    settings: Settings,
    *,
    spool: Spool | None = None,
    clock_ms: Callable[[], int] = wall_clock_ms,
    worker: Worker | None = None,
) -> AsgiApp:
    """Returns the ASGI application that serves the placements of a log.

    Args:
        log: must have its topics; it is not closed.
        settings: limits and durability.
        spool: where decisions and outcomes wait while the log is away; it is not closed.
        clock_ms: the time that decisions and outcomes carry.
        worker: who this is among several that serve one port; None if it is alone.
    """
    logs = LogCollector()
    log = logs.metered(log, "log")
    snapshots = Snapshots(log)
    ring = KeyRing(log, clock_ms)
    assignments = Assignments(log, clock_ms)
    metrics = Metrics(snapshots, clock_ms, spool)
    metrics.add(logs)
    traces = open_traces(settings, "api")
    thread = LogThread(log, on_append=metrics.group, around=traces.of if traces else nullcontext)
    spooling = None if spool is None else _spooling(spool, thread, settings, metrics, clock_ms)
    buffered = settings.durability == "buffered"
    appender = Appender(thread, limit=settings.max_waiting, spooling=spooling, buffered=buffered)
    siblings = None if worker is None else WorkerMetrics(worker, metrics.text)
    figures = metrics.text if siblings is None else siblings.text

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        drain.watch()
        ring.start()
        snapshots.start()
        appender.start()
        assignments.start()
        # the first text embedding loads its weights: before the first creative, not during it
        await run_in_threadpool(creative_features, {})
        app.openapi()  # FastAPI makes its routes when they are first asked for: before a request is
        if siblings is not None:
            await siblings.start()
        yield
        assignments.stop()
        follower.stop()
        await jobs.close()
        if siblings is not None:
            siblings.stop()
        await appender.close()
        snapshots.stop()
        ring.stop()
        if traces is not None:
            traces.close()

    drain = Drain(settings.drain_notice_seconds)
    rest = _rest(life)
    privacy = PrivacyFilter(settings.private_salt, settings.reward_secret)
    decider = Decider(appender, metrics, settings, clock_ms, privacy)
    recorder = Recorder(appender, metrics, clock_ms, privacy)
    rest.state.protection = privacy
    rest.state.recorder = recorder
    rest.state.snapshots = snapshots
    editor = rest.state.editor = Editor(log, snapshots, appender, clock_ms)
    rest.state.log = log
    rest.state.ui_port = settings.ui_port
    rest.state.checkup = checkup.Checkup(log, settings, clock_ms)
    rest.state.keys = KeyDesk(ring, appender, clock_ms)
    follower = FiguresFold(log, clock_ms, lambda name: aim_of(snapshots.catalogue, name))
    rest.state.figures = figure_routes.Desktop(follower)
    rest.state.flags = Flags(snapshots, decider, recorder, assignments)
    rest.state.health = health.Health(
        log, snapshots, appender, figures, settings, clock_ms, drain, ring
    )
    hot = HotRouter(rest, snapshots, decider, recorder, metrics, settings)
    jobs = rest.state.jobs = Jobs(settings)
    loops = Loops(snapshots, editor, decider, recorder, metrics, settings, jobs, clock_ms)
    router = PersonalizerRouter(hot, loops)
    rates = Rates(settings.rate_per_second, settings.rate_burst_seconds)
    guard = Guard(router, ring, rates, Tokens(settings) if settings.jwt_jwks_url else None)
    metrics.add(guard)
    traced = guard if traces is None else TracedApp(guard, traces)
    return for_origins(traced, settings.cors_origins)


def _spooling(
    spool: Spool,
    thread: LogThread,
    settings: Settings,
    metrics: Metrics,
    clock_ms: Callable[[], int],
) -> Spooling:
    return Spooling(
        thread,
        spool,
        patience_seconds=settings.spool_after_seconds,
        clock_ms=clock_ms,
        on_spooled=metrics.spooled,
        on_forwarded=metrics.forwarded,
    )


def _rest(life: Callable[[FastAPI], Any]) -> FastAPI:
    """Returns the part of the API that FastAPI serves."""
    app = FastAPI(
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
        checkup.checkup_router,
        key_routes.router,
        act_routes.acts_router,
        caller_routes.caller_router,
        health.router,
        dashboard_door.dashboard_router,
    ):
        app.include_router(router, responses=REFUSED)
    refuse_alike(app)

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = add_hot_routes(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    description=app.description,
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app
