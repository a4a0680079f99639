"""Which request a line of the log is about.

A caller's `X-Request-Id` is kept and answered; where none came, an id is made only once a line
needs one.
"""

from __future__ import annotations

import logging
import re
import secrets
from contextvars import ContextVar
from typing import Final

HEADER: Final = b"x-request-id"
_SOUND: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
# A context variable is how a log line finds the request that its task works on.
_current: ContextVar[list[str] | None] = ContextVar("request", default=None)


def begin(given: bytes | None) -> str | None:
    """Notes that a request begins; returns the id that it came with, if that is a sound one."""
    sound = given is not None and _SOUND.fullmatch(given)
    request_id = given.decode() if given is not None and sound else None
    _current.set([] if request_id is None else [request_id])
    return request_id


def request_id() -> str | None:
    """Returns the id of the request that is worked on, None outside of one."""
    holder = _current.get()
    if holder is None:
        return None
    if not holder:
        holder.append(secrets.token_hex(8))
    return holder[0]


def mark(record: logging.LogRecord) -> bool:
    """Notes on a log record which request it is about; a filter that lets everything through."""
    if (found := request_id()) is not None:
        record.request_id = found
    return True


def mark_all() -> None:
    """Has every line of this process's log say which request it is about."""
    for handler in logging.getLogger().handlers:
        if mark not in handler.filters:
            handler.addFilter(mark)
