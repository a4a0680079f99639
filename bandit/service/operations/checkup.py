"""What a page about health shows: how far behind each group is, and what the doctor finds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from msgspec import Struct

from bandit.service.operations.doctor import (
    STARTS,
    Finding,
    Patient,
    look,
    look_at_machine,
)
from bandit.service.resource import Resource, view_of
from bandit.service.settings import Settings
from streams.fields import doc
from streams.lag import Lag, lags
from streams.log import Log
from streams.topics import GROUPS

checkup_router = APIRouter(prefix="/v1", tags=["operations"])


class Checkup:
    """Has the doctor look, one look at a time: each reads the catalogue and all dead letters."""

    def __init__(self, log: Log, settings: Settings, clock_ms: Callable[[], int]) -> None:
        self.log = log
        self.clock_ms = clock_ms
        self._settings = settings
        self._turn = asyncio.Semaphore(1)

    async def look(self, now_ms: int) -> list[Finding]:
        """Returns what was found, versions and disk of this machine included."""
        async with self._turn:
            return await run_in_threadpool(self._found, now_ms)

    def _found(self, now_ms: int) -> list[Finding]:
        patient = Patient(self._settings, self.log, now_ms)
        return [*look_at_machine(self._settings), *look(patient)]


def _checkup(request: Request) -> Checkup:
    found: Checkup = request.app.state.checkup
    return found


Checking = Annotated[Checkup, Depends(_checkup)]


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
async def read_findings(checkup: Checking) -> FindingsView:
    """What `copyloop doctor` finds, as seen by this process: it only reads, which may take long."""
    now_ms = checkup.clock_ms()
    return FindingsView(now_ms, await checkup.look(now_ms))


@checkup_router.get("/lag")
def read_lag(checkup: Checking) -> LagView:
    """How far joiner and learner are behind: one that does not move while there is lag is down."""
    return LagView(looked_ms=checkup.clock_ms(), groups=_groups(lags(checkup.log, GROUPS)))


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
