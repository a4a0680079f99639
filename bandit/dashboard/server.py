"""Runs the dashboard: listens, reaches the API, and ends on SIGTERM."""

from __future__ import annotations

import logging
import ssl
from typing import Any, Final

import httpx
import uvicorn

from bandit.client import AsyncClient, Retries
from bandit.dashboard.app import create_dashboard
from bandit.service.auth.tls_cors import edge_options, is_loopback
from bandit.service.settings import Settings
from bandit.service.supervise import BACKLOG, bound
from streams.process import stop_on_signals

logger = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 1
"""Streams never end by themselves; a browser opens them again."""
CONNECTIONS: Final = 200
PATIENCE_SECONDS: Final = 20.0


def serve_dashboard(settings: Settings, api_url: str) -> None:
    """Serves the pages until SIGTERM or SIGINT.

    Args:
        settings: the host and the port of the pages, and how TLS is spoken, as the API does.
        api_url: where the API is.

    Raises:
        SettingError: the address cannot be listened on, or Plotly is not installed.
    """
    stop = stop_on_signals()
    exposed = not is_loopback(settings.host) and not settings.open_to_network
    client = AsyncClient(
        api_url,
        timeout_seconds=PATIENCE_SECONDS,
        retries=Retries(attempts=1),
        http_options={
            "limits": httpx.Limits(max_connections=CONNECTIONS),
            "verify": _trust(settings),
            "trust_env": False,
        },
    )
    app = create_dashboard(client, exposed=exposed)
    with bound(settings, shared=False) as listening:
        listening.listen(BACKLOG)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
                **_edge(settings),
            )
        )
        host, port = listening.getsockname()[:2]
        scheme = "https" if settings.tls_cert else "http"
        logger.info("the dashboard is at %s://%s:%d/ui", scheme, host, port)
        server.should_exit = stop.is_set()
        server.run(sockets=[listening])


def _edge(settings: Settings) -> dict[str, Any]:
    """Returns uvicorn's options for TLS; the middleware sets headers."""
    return {name: value for name, value in edge_options(settings).items() if name != "headers"}


def _trust(settings: Settings) -> ssl.SSLContext | bool:
    """Returns whom to take for the API: whoever has the certificate that we have, too.

    That certificate names the host that others ask, which need not be the one that we do; as no
    other certificate is taken, the name says nothing more.
    """
    if settings.tls_cert is None:
        return True
    edge_options(settings)  # says which file is missing
    context = ssl.create_default_context(cafile=str(settings.tls_cert))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    if settings.tls_client_ca is not None:
        password = settings.tls_key_password.reveal() or None
        context.load_cert_chain(str(settings.tls_cert), str(settings.tls_key), password)
    return context
