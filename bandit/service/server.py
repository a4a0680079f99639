"""Runs the API: opens the log, listens, and on SIGTERM answers what is in flight and ends."""

from __future__ import annotations

import gc
import logging
from contextlib import AbstractContextManager, nullcontext

import uvicorn

from bandit.service.app import create_app
from bandit.service.security.edge import edge_options
from bandit.service.security.exposure import check_exposure
from bandit.service.security.key_ring import KeyRing
from bandit.service.settings import Settings
from bandit.service.workers import BACKLOG, Worker, bound
from streams.embedded import wall_clock_ms
from streams.opening import open_log, redacted
from streams.process import stop_on_signals
from streams.spool import Spool, claimed_spool
from streams.topics import create_topics

logger = logging.getLogger(__name__)


def serve(settings: Settings, worker: Worker | None = None) -> None:
    """Serves until SIGTERM or SIGINT.

    Then no request is taken any more, those in flight are answered, and what waits for the log
    is appended, or stays on disk for the next start if that is away.

    Args:
        settings: how to; with a worker, `workers` of them says nothing here.
        worker: who this is among several that share the port; None if it is alone.

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
        ring = KeyRing(log, wall_clock_ms)
        ring.catch_up()
        check_exposure(settings, ring)
        with _spool(settings) as spool:
            app = create_app(log, settings, spool=spool, worker=worker)
            server = uvicorn.Server(server_config(app, settings))
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
