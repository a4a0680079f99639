"""What operators ask: is it alive, is it ready, what does it count."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from bandit.errors import RequestError
from bandit.service.appender import Appender
from bandit.service.metrics import Metrics
from bandit.service.snapshots import Snapshots
from streams.catalogue import PARTITION
from streams.errors import LogError
from streams.log import Log

PATIENCE_SECONDS: Final = 2.0
FAILURE_SECONDS: Final = 5.0
"""For how long after a failed append the replica says so; then it takes another try."""

router = APIRouter(tags=["operations"])


class Ready(BaseModel):
    """The replica serves."""

    status: Literal["ok"] = "ok"
    placements: int
    policies_refused: int


class Health:
    """Tells whether one application can do its work."""

    def __init__(
        self, log: Log, snapshots: Snapshots, appender: Appender, metrics: Metrics
    ) -> None:
        self._log = log
        self._snapshots = snapshots
        self._appender = appender
        self.metrics = metrics

    async def ready(self) -> Ready:
        """Returns what is served.

        Raises:
            RequestError: 503: the catalogue is not followed, or the log not reached.
        """
        if not self._snapshots.following:
            raise RequestError(503, "catalogue_not_followed", "the catalogue is not followed")
        if self._appender.failed_within(FAILURE_SECONDS):
            raise RequestError(503, "log_unavailable", "the latest append to the log failed")
        reading = asyncio.to_thread(self._log.end_offset, PARTITION)
        try:
            await asyncio.wait_for(reading, PATIENCE_SECONDS)
        except (LogError, TimeoutError) as error:
            message = f"the log cannot be read: {error or 'no answer in time'}"
            raise RequestError(503, "log_unavailable", message) from error
        return Ready(
            placements=len(self._snapshots.catalogue.placements()),
            policies_refused=self._snapshots.refused,
        )


def _health(request: Request) -> Health:
    found: Health = request.app.state.health
    return found


Checked = Annotated[Health, Depends(_health)]


@router.get("/health")
async def ready(health: Checked) -> Ready:
    """Whether requests should come here: the catalogue is followed and the log takes appends."""
    return await health.ready()


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Whether the process should be left alone: it answers."""
    return {"status": "ok"}


@router.get("/metrics", response_class=Response)
async def metrics(health: Checked) -> Response:
    """Everything counted, in Prometheus' text format."""
    return Response(health.metrics.text(), media_type=CONTENT_TYPE_LATEST)
