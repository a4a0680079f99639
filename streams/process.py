"""What a long-running process has: signals that stop it, metrics that it serves, log lines."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from streams.errors import LogUnavailable
from streams.logs.opening import open_log
from streams.logs.wrappers import MeteredLog
from streams.readiness import ready_teller
from streams.topic_checks import warn_of_topics
from streams.topics import create_topics

if TYPE_CHECKING:
    from streams.metrics import ProcessMetrics


Form: TypeAlias = Literal["text", "json"]
REQUEST_ID: Final = "request_id"
"""The attribute of a record that says which request it is about, where one is."""


def log_to_stderr(process: str, form: Form = "text") -> None:
    """Sends this process's log lines to stderr, with its name in each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process) if form == "json" else TextLines(process))
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    # the client says the same every second while a broker is away; our own errors say it once
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    # these say every request, with its address
    for client in ("httpx", "httpx2"):
        logging.getLogger(client).setLevel(logging.WARNING)


class TextLines(logging.Formatter):
    """A line with time, process and level, and the request that it is about."""

    def __init__(self, process: str) -> None:
        super().__init__(f"%(asctime)s {process} %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """Returns the line, without a traceback."""
        line = super().formatMessage(record)
        request_id = getattr(record, REQUEST_ID, None)
        return line if request_id is None else f"{line} (request {request_id})"


class JsonLines(logging.Formatter):
    """One JSON object: time, level, process, logger, message; request_id and exception if any."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record as JSON, on one line."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = getattr(record, REQUEST_ID, None)
        if request_id is not None:
            told[REQUEST_ID] = request_id
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)


logger = logging.getLogger(__name__)


def stop_on_signals() -> threading.Event:
    """Returns an event that SIGTERM and SIGINT set; call it from the main thread."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


class Running(NamedTuple):
    """What a long-running process works with: its log, what ends it, what it tells, and its start.

    It calls `ready` once it has begun to work: from then on its settings are no reason to end.
    """

    log: MeteredLog
    stop: threading.Event
    metrics: ProcessMetrics
    ready: Callable[[], None]


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
    ready, stop = ready_teller(), stop_on_signals()
    metrics = ProcessMetrics()
    with served(metrics.registry, metrics_host, metrics_port):
        log = metrics.metered(open_log(log_url), "log")
        try:
            create_topics(log)
            warn_of_topics(log)
            yield Running(log, stop, metrics, ready)
        except LogUnavailable as error:
            if not stop.is_set():
                raise
            logger.warning(
                "stopped while the log is away (%s); the next start goes on from what was saved",
                error,
            )
        finally:
            log.close()


def module_command(module: str, *words: str) -> list[str]:
    """Returns the command line that runs a module of ours, wherever it is called.

    Python would look for modules in the working directory first, and run a `streams.py` there.
    """
    return [sys.executable, "-P", "-m", module, *words]


def run_command(command: Callable[[], object], *errors: type[Exception]) -> None:
    """Runs a command line; one of these errors, or of the system's, prints itself, and exits.

    The exit code is 2 where the same command will fail again, and 1 where it may work later: a
    supervisor starts that one again. Python processes that this one starts, in whichever way, do
    not look for modules in the working directory.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        command()
    except errors as error:
        sys.stderr.write(f"copyloop: {getattr(error, 'code', 'error')}: {error}\n")
        sys.exit(1 if getattr(error, "retriable", False) else 2)
    except OSError as error:
        told = f"{error}; see that there is room, and that this user may write there"
        sys.stderr.write(f"copyloop: os_error: {told}\n")
        sys.exit(1)
