"""What operators ask: is it alive, is it ready, what does it count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from bandit.errors import RequestError
from bandit.service.appender import Appender
from bandit.service.operations.drain import Drain
from bandit.service.security.key_ring import KeyRing
from bandit.service.settings import Settings
from bandit.service.snapshots import Snapshots
from streams.catalogue import PARTITION
from streams.errors import LogError, SpoolFull
from streams.log import Log
from streams.spool import Spool

PATIENCE_SECONDS: Final = 2.0
SPOOL_PATIENCE_SECONDS: Final = 0.5
"""How long the log may take to answer where a spool stands by: probes give up after a second."""
FAILURE_SECONDS: Final = 5.0
"""For how long after a failed append the replica says so; then it takes another try."""

router = APIRouter(tags=["operations"])


class Spooled(BaseModel):
    """What waits on disk for the log."""

    messages: int
    bytes: int
    oldest_seconds: float


class Ready(BaseModel):
    """The replica serves: from the log, or `spooling` while that is away or not caught up with."""

    status: Literal["ok", "spooling"] = "ok"
    placements: int
    policies_refused: int
    spool: Spooled | None = None


class Health:
    """Tells whether one application can do its work."""

    def __init__(
        self,
        log: Log,
        snapshots: Snapshots,
        appender: Appender,
        figures: Callable[[], bytes],
        settings: Settings,
        clock_ms: Callable[[], int],
        drain: Drain,
        ring: KeyRing,
    ) -> None:
        self._log = log
        self._snapshots = snapshots
        self._appender = appender
        self.figures = figures
        self._refuses = settings.spool_full == "refuse"
        self._clock_ms = clock_ms
        self._drain = drain
        self._ring = ring

    async def ready(self) -> Ready:
        """Returns what is served.

        Raises:
            RequestError: 503: the replica is about to end; the catalogue is not followed; the log
                is not reached, and there is no spool; or that is full, and requests are refused.
        """
        if self._drain.draining:
            raise RequestError(503, "draining", "the replica is about to end; ask another one")
        if not self._snapshots.following:
            raise RequestError(503, "catalogue_not_followed", "the catalogue is not followed")
        spooling = self._appender.spooling
        if spooling is None:
            if self._appender.failed_within(FAILURE_SECONDS):
                raise RequestError(503, "log_unavailable", "the latest append to the log failed")
            await self._ask_log(PATIENCE_SECONDS)
            return self._ready(None)
        if spooling.full and self._refuses:
            message = f"the log is away, and the spool in {spooling.spool.directory} is full"
            raise RequestError(503, SpoolFull.code, message)
        if spooling.active:
            return self._ready(spooling.spool)
        try:
            await self._ask_log(SPOOL_PATIENCE_SECONDS)
        except RequestError:  # the next append will find out, and be spooled
            return self._ready(spooling.spool)
        return self._ready(None)

    def check_alive(self) -> None:
        """Refuses if the process cannot do its work any more, and a new one could.

        Raises:
            RequestError: 503 `thread_ended`.
        """
        for name, running in (
            ("policies", self._snapshots.following),
            ("keys", self._ring.following),
        ):
            if not running:
                raise RequestError(503, "thread_ended", f"the thread that follows {name} ended")

    async def _ask_log(self, patience_seconds: float) -> None:
        reading = asyncio.to_thread(self._log.end_offset, PARTITION)
        try:
            await asyncio.wait_for(reading, patience_seconds)
        except (LogError, TimeoutError) as error:
            message = f"the log cannot be read: {str(error) or 'no answer in time'}"
            raise RequestError(503, "log_unavailable", message) from error

    def _ready(self, spool: Spool | None) -> Ready:
        ready = Ready(
            placements=len(self._snapshots.catalogue.placements()),
            policies_refused=self._snapshots.refused,
        )
        if spool is not None:
            ready.status = "spooling"
            ready.spool = Spooled(
                messages=spool.messages,
                bytes=spool.size_bytes,
                oldest_seconds=spool.oldest_seconds(self._clock_ms()),
            )
        return ready


def _health(request: Request) -> Health:
    found: Health = request.app.state.health
    return found


Checked = Annotated[Health, Depends(_health)]


@router.get("/health", response_model_exclude_none=True)
async def ready(health: Checked) -> Ready:
    """Whether requests should come here: the catalogue is followed, and appends go somewhere."""
    return await health.ready()


@router.get("/health/live")
async def live(health: Checked) -> dict[str, str]:
    """Whether the process should be left alone: it answers, and what it runs by is running."""
    health.check_alive()
    return {"status": "ok"}


@router.get("/metrics", response_class=Response)
def metrics(health: Checked) -> Response:
    """Everything counted, in Prometheus' text format."""
    # Off the event loop, for the log is asked how far we are, and may be slow to answer.
    return Response(health.figures(), media_type=CONTENT_TYPE_LATEST)
