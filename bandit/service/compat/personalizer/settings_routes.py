"""The routes of a loop's configuration, its learning settings, its model and its logs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NoReturn

import msgspec

from bandit.service.compat.personalizer.configuration import (
    ARGUMENTS,
    NAME,
    LearningSettings,
    LoopAttributes,
    ServiceConfiguration,
    configuration_of,
    iso_time,
    kept_of,
    placement_of,
    settings_of,
    view,
)
from bandit.service.compat.personalizer.loops import LoopRequest, Loops, Reply
from bandit.service.compat.personalizer.wire import PersonalizerError, decode
from streams.errors import EventError
from streams.events import DECISIONS, Decision, Placement, Slate
from streams.events import decode as decode_event
from streams.fold import partitions, scan
from streams.inspect import backwards
from streams.logs.base import Log, Record

OCTETS: Final = b"application/octet-stream"


async def read_configuration(loops: Loops, call: LoopRequest) -> Reply:
    """Answers the loop's configuration: 200."""
    placement = (await loops.serving(call)).placement
    return Reply(200, view(configuration_of(placement), kept_of(placement).edited_ms))


async def write_configuration(loops: Loops, call: LoopRequest) -> Reply:
    """Configures the loop, and makes it if it is not there: 200 with the configuration."""
    wanted = decode(call.body, ServiceConfiguration, "InvalidServiceConfiguration")
    placement = await _change(loops, call, lambda kept: kept, wanted)
    return Reply(200, view(configuration_of(placement), kept_of(placement).edited_ms))


async def read_policy(loops: Loops, call: LoopRequest) -> Reply:
    """Answers the learning settings: 200."""
    placement = (await loops.serving(call)).placement
    return Reply(200, msgspec.json.encode(settings_of(placement)))


async def write_policy(loops: Loops, call: LoopRequest) -> Reply:
    """Gives the loop other learning settings: 200 with them.

    The log is folded anew with them, so what was learned is not lost.
    """
    settings = decode(call.body, LearningSettings, "InvalidPolicyContract")
    return await _set_policy(loops, call, settings)


async def reset_policy(loops: Loops, call: LoopRequest) -> Reply:
    """Gives the loop the learning settings that a new one has: 200 with them."""
    return await _set_policy(loops, call, LearningSettings(NAME, ARGUMENTS))


async def read_model(loops: Loops, call: LoopRequest) -> Reply:
    """Answers the bytes of the policy that is served, which `snapshot:FILE` evaluates: 200."""
    policy = (await loops.serving(call)).policy
    return Reply(200, policy.to_bytes(), content_type=OCTETS)


async def read_model_properties(loops: Loops, call: LoopRequest) -> Reply:
    """Answers since when there is a model, and when it last learned: 200."""
    serving = await loops.serving(call)
    made_ms = loops.editor.catalogue.dated_history(call.placement)[0][0]
    found = {
        "creationTime": iso_time(made_ms),
        "lastModifiedTime": iso_time(serving.snapshot_ms or made_ms),
    }
    return Reply(200, msgspec.json.encode(found))


def _refusing(code: str, message: str) -> Callable[[Loops, LoopRequest], Awaitable[Reply]]:
    """Returns the handler of what a log makes senseless: an answer of 204 would be a lie."""

    async def refuse(loops: Loops, call: LoopRequest) -> NoReturn:
        raise PersonalizerError("OperationNotAllowed", code, message)

    return refuse


refused_import: Final = _refusing(
    "model_from_log_only",
    "a model is folded from the log and cannot be put in its place; `copyloop import "
    "personalizer-logs` takes in the logs that it was learned from",
)
refused_reset: Final = _refusing(
    "model_from_log_only",
    "a model is folded from the log, which would make the same one again; to start anew, use "
    "another placement",
)
refused_deletion: Final = _refusing(
    "log_append_only",
    "the log is only ever added to, and policies follow from it: nothing was deleted. To start "
    "anew use another placement; to end this one DELETE /v1/placements/{placement}",
)


async def read_log_properties(loops: Loops, call: LoopRequest) -> Reply:
    """Answers from when to when the loop decided: 200."""
    await loops.serving(call)
    # It reads the log, which may take a while, and the event loop has ranks to answer.
    found = await asyncio.to_thread(date_range, loops.editor.log, call.placement)
    if found is None:
        raise PersonalizerError(
            "LogsPropertiesNotFound",
            "log_empty",
            f"nothing was decided for placement {call.placement!r} yet",
            status=404,
        )
    first, last = found
    body = {"dateRange": {"from": iso_time(first), "to": iso_time(last)}}
    return Reply(200, msgspec.json.encode(body))


async def change_settings(loops: Loops, call: LoopRequest, settings: LearningSettings) -> Placement:
    """Gives the placement other learning settings, and returns it as it is now.

    Raises:
        PersonalizerError: `policy_spec_invalid`.
    """
    await loops.serving(call)
    return await _change(loops, call, lambda kept: msgspec.structs.replace(kept, settings=settings))


async def _set_policy(loops: Loops, call: LoopRequest, settings: LearningSettings) -> Reply:
    changed = await change_settings(loops, call, settings)
    return Reply(200, msgspec.json.encode(settings_of(changed)))


async def _change(
    loops: Loops,
    call: LoopRequest,
    change: Callable[[LoopAttributes], LoopAttributes],
    wanted: ServiceConfiguration | None = None,
) -> Placement:
    """Changes what the placement keeps, and its configuration where another is wanted."""

    def changed(before: Placement) -> Placement:
        kept = msgspec.structs.replace(
            kept_of(before), settings=settings_of(before), edited_ms=loops.clock_ms()
        )
        configuration = wanted or configuration_of(before)
        return placement_of(before.name, configuration, change(kept), before)

    return await loops.change(call, changed)


def date_range(log: Log, placement: str) -> tuple[int, int] | None:
    """Returns the times of the first and the last decision, in milliseconds; None without any.

    It reads from either end until it finds one.
    """
    # What is no decision of the placement's is told without reading it as one.
    mark = b'"placement":' + msgspec.json.encode(placement)
    ends = []
    for partition in partitions(log, DECISIONS):
        if (first := _time(scan(log, partition), mark)) is not None:
            last = _time(backwards(log, partition), mark)
            ends.append((first, first if last is None else last))
    if not ends:
        return None
    return min(first for first, _ in ends), max(last for _, last in ends)


def _time(records: Iterable[Record], mark: bytes) -> int | None:
    for record in records:
        if mark not in bytes(record.value):
            continue
        try:
            event = decode_event(record.value)
        except EventError:
            # The joiner lays it aside.
            continue
        if isinstance(event, Decision | Slate):
            return event.timestamp_ms
    return None
