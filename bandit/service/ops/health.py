"""The routes of operators: health, metrics, the doctor and lag; and how the replica drains."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from bandit.errors import RequestError
from bandit.service.auth.keys import KeyRing
from bandit.service.errors import unavailable, without_places
from bandit.service.log_writer import Appender
from bandit.service.ops.doctor import STARTS, Finding, Patient, look, look_at_machine
from bandit.service.resource import Resource, view_of
from bandit.service.settings import Settings
from bandit.service.state import Snapshots
from streams.catalogue.state import PARTITION
from streams.errors import LogError, LogMoved, LogUnavailable, SpoolError, SpoolFull
from streams.events.fields import doc
from streams.inspect import Lag, lags
from streams.logs.base import Log
from streams.logs.log_clock import LogTime
from streams.logs.opening import redacted
from streams.restarts import FILE as RESTARTS
from streams.restarts import often_restarted
from streams.spool import Spool
from streams.topics import GROUPS

logger = logging.getLogger(__name__)


class Drain:
    """Turns SIGTERM into notice first and the end later; used from one event loop.

    Args:
        notice_seconds: how long requests are still taken once the end is known.
    """

    def __init__(self, notice_seconds: float) -> None:
        self.draining = False
        """Whether the end is known, and nothing more should be sent here."""
        self._notice_seconds = notice_seconds

    def watch(self) -> None:
        """Comes before whoever handles SIGTERM by now; for the main thread's event loop."""
        before = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            return
        loop = asyncio.get_running_loop()

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self.draining or not self._notice_seconds:
                self.draining = True
                before(number, frame)
                return
            self.draining = True
            logger.info("draining: requests are taken for %g s more", self._notice_seconds)
            loop.call_soon_threadsafe(loop.call_later, self._notice_seconds, before, number, None)

        signal.signal(signal.SIGTERM, on_signal)


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
    set_aside: int = 0
    """Those that the log refused; the doctor says why, and the next start tries them again."""


class Ready(BaseModel):
    """The replica serves: from the log, or `spooling` while that is away or not caught up with."""

    status: Literal["ok", "spooling"] = "ok"
    placements: int
    policies_refused: int
    spool: Spooled | None = None
    restarts: dict[str, int] | None = None
    """By process of `copyloop up`: how often it died in the last ten minutes, if three times."""


class Health:
    """Tells whether one application can do its work, and what the doctor finds."""

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
        self.log = log
        self._snapshots = snapshots
        self._appender = appender
        self.figures = figures
        self._settings = settings
        self.clock_ms = clock_ms
        self._drain = drain
        self._ring = ring
        self._looking = asyncio.Semaphore(1)

    async def ready(self) -> Ready:
        """Returns what is served.

        Raises:
            RequestError: 503: the replica is about to end; the catalogue is not followed; the log
                is not reached, and there is no spool; or that is full, and requests are refused;
                neither takes anything; the log's file is not where it was opened; its time
                disagrees with the clock.
        """
        if self._drain.draining:
            raise RequestError(503, "draining", "the replica is about to end; ask another one")
        if not self._snapshots.following:
            raise RequestError(503, "catalogue_not_followed", "the catalogue is not followed")
        spooling = self._appender.spooling
        if spooling is None:
            time = await self._ask_log(PATIENCE_SECONDS)
            if self._appender.failed_within(FAILURE_SECONDS):
                why = without_places(self._appender.failure)
                raise RequestError(503, "log_unavailable", f"the latest append failed: {why}")
            if (found := time.disagreement) is not None:
                logger.warning("not ready: %s: %s", redacted(self._settings.log_url), found)
                raise RequestError(503, "clock_disagrees", f"the log: {found}")
            return self._ready(None)
        if spooling.full and self._settings.spool_full == "refuse":
            raise unavailable(SpoolFull("the log is away, and the spool is full"))
        failure = self._appender.failure
        if self._appender.failed_within(FAILURE_SECONDS) and not isinstance(failure, SpoolFull):
            message = f"neither the log nor the spool takes anything: {failure}"
            raise unavailable(SpoolError(message))
        if spooling.active:
            return self._ready(spooling.spool)
        try:
            await self._ask_log(SPOOL_PATIENCE_SECONDS)
        except RequestError:  # the next append will find out, and be spooled
            return self._ready(spooling.spool)
        return self._ready(None, aside=spooling.spool)

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

    async def look(self, now_ms: int) -> list[Finding]:
        """Returns what the doctor finds, one look at a time: each reads all dead letters."""
        async with self._looking:
            patient = Patient(self._settings, self.log, now_ms)
            machine = await run_in_threadpool(look_at_machine, self._settings)
            return machine + await run_in_threadpool(look, patient)

    async def _ask_log(self, patience_seconds: float) -> LogTime:
        try:
            return await asyncio.wait_for(asyncio.to_thread(self._look), patience_seconds)
        except LogMoved as error:
            logger.warning("not ready: %s", error)
            raise RequestError(503, error.code, without_places(error)) from error
        except (LogError, TimeoutError) as error:
            logger.warning("not ready: %s", str(error) or "the log gave no answer in time")
            message = f"the log cannot be read: {without_places(error) or 'no answer in time'}"
            raise RequestError(503, LogUnavailable.code, message) from error

    def _look(self) -> LogTime:
        self.log.end_offset(PARTITION)
        return self.log.time()

    def _ready(self, spool: Spool | None, *, aside: Spool | None = None) -> Ready:
        ready = Ready(
            placements=len(self._snapshots.catalogue.placements()),
            policies_refused=self._snapshots.refused,
        )
        often = often_restarted(self._settings.data / RESTARTS, self.clock_ms())
        if often:
            ready.restarts = often
        if spool is not None:
            ready.status = "spooling"
        held = spool or aside
        if held is not None and (spool is not None or held.aside):
            ready.spool = Spooled(
                messages=held.messages,
                bytes=held.size_bytes,
                oldest_seconds=held.oldest_seconds(self.clock_ms()),
                set_aside=held.aside,
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


checkup_router = APIRouter(prefix="/v1", tags=["operations"])


class FindingsView(Struct, Resource, frozen=True):
    """Everything that was looked at, and when."""

    looked_ms: int
    findings: list[Finding]


class PartitionLagView(Struct, frozen=True):
    """A group in one partition; `committed` is null if it never was there."""

    topic: str
    partition: int
    committed: int | None
    end: int
    lag: int


class GroupLagView(Struct, frozen=True):
    """A process that reads the log, and how many records it has not read, or not saved, yet."""

    group: str
    lag: int
    starts: Annotated[str, doc("The command that runs it.")]
    partitions: list[PartitionLagView]


class LagView(Struct, Resource, frozen=True):
    """All groups, at one moment."""

    looked_ms: int
    groups: list[GroupLagView]


@checkup_router.get("/doctor")
async def read_findings(health: Checked) -> FindingsView:
    """What `copyloop doctor` finds, as seen by this process: it only reads, which may take long."""
    now_ms = health.clock_ms()
    return FindingsView(now_ms, await health.look(now_ms))


@checkup_router.get("/lag")
def read_lag(health: Checked) -> LagView:
    """How far joiner and learner are behind: one that does not move while there is lag is down."""
    return LagView(looked_ms=health.clock_ms(), groups=_groups(lags(health.log, GROUPS)))


def _groups(found: Sequence[Lag]) -> list[GroupLagView]:
    by_group: dict[str, list[Lag]] = {}
    for each in found:
        by_group.setdefault(each.group, []).append(each)
    return [
        GroupLagView(
            group=group,
            lag=sum(each.lag for each in own),
            starts=STARTS[group],
            partitions=[view_of(PartitionLagView, each) for each in own],
        )
        for group, own in by_group.items()
    ]
