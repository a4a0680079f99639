"""How a process's log lines look: for people, or a JSON object a line for programs."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

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
