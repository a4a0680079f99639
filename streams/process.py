"""What every long-running process does alike: log to stderr, and stop when asked to."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from streams.errors import LogUnavailable
from streams.log_lines import Form, log_to_stderr
from streams.metered import MeteredLog
from streams.opening import open_log
from streams.topics import create_topics

if TYPE_CHECKING:
    from streams.metrics import ProcessMetrics

logger = logging.getLogger(__name__)


def stop_on_signals() -> threading.Event:
    """Returns an event that SIGTERM and SIGINT set; call it from the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


class Running(NamedTuple):
    """What a long-running process works with: its log, what ends it, and what it tells."""

    log: MeteredLog
    stop: threading.Event
    metrics: ProcessMetrics


@contextmanager
def long_running(
    name: str,
    log_url: str,
    *,
    metrics_host: str = "127.0.0.1",
    metrics_port: int | None = None,
    log_format: Form = "text",
) -> Iterator[Running]:
    """Opens the log with its topics for a process of this name, that runs until `stop` is set.

    With a port, its metrics are served for as long as the block lasts. A process that is asked to
    stop while the log is away has ended as asked: the block then ends without an error.

    Raises:
        LogUrlError: no log goes by that URL.
        LogError: the log cannot be opened.
        ListenError: metrics cannot be served there.
    """
    # Commands that are soon done do without it.
    from streams.metrics import ProcessMetrics, served

    log_to_stderr(name, log_format)
    stop = stop_on_signals()
    metrics = ProcessMetrics()
    with served(metrics.registry, metrics_host, metrics_port):
        log = metrics.metered(open_log(log_url), "log")
        try:
            create_topics(log)
            yield Running(log, stop, metrics)
        except LogUnavailable as error:
            if not stop.is_set():
                raise
            logger.warning(
                "stopped while the log is away (%s); the next start goes on from what was saved",
                error,
            )
        finally:
            log.close()


def run_command(command: Callable[[], object], *errors: type[Exception]) -> None:
    """Runs a command line; one of these errors prints its code and message, and exits.

    The exit code is 2 where the same command will fail again, and 1 where it may work later: a
    supervisor starts that one again.
    """
    try:
        command()
    except errors as error:
        sys.stderr.write(f"copyloop: {getattr(error, 'code', 'error')}: {error}\n")
        sys.exit(1 if getattr(error, "retriable", False) else 2)
