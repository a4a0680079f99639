"""Several API processes on one port: the kernel shares the connections out among them.

Each is a replica like any other: it follows the log for policies and creatives, appends for
itself, and shares nothing with its siblings but the port and the folder in which they tell each
other what they count.
"""

from __future__ import annotations

import logging
import socket
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from bandit.errors import SettingError
from bandit.service.settings import Settings
from bandit.service.supervisor import ProcessSpec, up
from streams.log_lines import Form
from streams.process import stop_on_signals

logger = logging.getLogger(__name__)

BACKLOG: Final = 2048
DRAIN_MARGIN_SECONDS: Final = 2.0
"""What a worker may take beyond its drain to write what waits and to end."""


class Worker(NamedTuple):
    """One of several API processes: its name among its siblings, and the folder they meet in."""

    name: str
    folder: Path


def serve_workers(settings: Settings, log_format: Form = "text") -> int:
    """Runs so many workers until SIGTERM or SIGINT; returns the exit code for the whole.

    One that dies is started again while the others go on. At the end all take no more requests,
    answer those in flight, and append what waits.

    Raises:
        SettingError: the address cannot be listened on.
    """
    # Whoever shares the port already is another server, not a worker of ours.
    bound(settings, shared=False).close()
    stop = stop_on_signals()
    # Bound and never listened on: it keeps the port for the workers, whatever becomes of them.
    with bound(settings, shared=True) as reserved, tempfile.TemporaryDirectory() as folder:
        port = reserved.getsockname()[1]
        names = [f"api-{number}" for number in range(1, settings.workers + 1)]
        logger.info("%d workers on port %d", len(names), port)
        specs = [
            ProcessSpec(name, _command(settings, port, name, folder, log_format)) for name in names
        ]
        return up(
            specs,
            stop=stop,
            first=len(names),
            grace_seconds=settings.drain_notice_seconds
            + settings.drain_seconds
            + DRAIN_MARGIN_SECONDS,
            prefixed=log_format == "text",
        )


def bound(settings: Settings, *, shared: bool) -> socket.socket:
    """Returns a socket at the address that the settings name, not listening yet.

    Args:
        settings: name the host and the port.
        shared: other processes of the same user may be bound there too, if they say so as well.

    Raises:
        SettingError: it cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise SettingError(
            f"cannot listen on host {settings.host!r}, port {settings.port}: {error.strerror}; "
            "choose another with --host and --port"
        ) from error
    return listening


def _command(settings: Settings, port: int, name: str, folder: str, log_format: Form) -> list[str]:
    """Returns how a worker is started; what is not said here it reads from the environment."""
    return [
        *(sys.executable, "-m", "bandit", "serve", "--data", str(settings.data)),
        *("--log", settings.log_url, "--host", settings.host, "--port", str(port)),
        *("--ui-port", str(settings.ui_port)),
        *("--worker", name, "--worker-folder", folder, "--log-format", log_format),
    ]
