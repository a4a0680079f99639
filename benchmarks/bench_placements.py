"""What do hundreds of placements cost one process: to start, in memory, and at a change?

Each has ten creatives and a policy that has learned 300 decisions, in a log in memory. Memory is
the larger of what Python allocated and what the process grew by: only the latter sees what Vowpal
Wabbit holds. The baseline of a change is the same change among a tenth as many placements.
"""

from __future__ import annotations

import ctypes
import gc
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from bandit.features.flatten import creative_features
from bandit.policies import open_policy, parse_policy
from bandit.policy import policy_version
from bandit.service.state import Snapshots
from streams.catalogue.state import catalogue_message
from streams.events import (
    POLICIES,
    Action,
    Creative,
    Decision,
    Placement,
    PolicySnapshot,
    PolicySpec,
    encode,
)
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics

PLACEMENTS = 300
# Hundreds of models of Vowpal Wabbit would take gigabytes.
SERVED = [
    ("thompson", PLACEMENTS),
    ("text_thompson", PLACEMENTS),
    ("lin_ts", PLACEMENTS),
    ("vw", PLACEMENTS // 10),
    ("vw:--cb_explore_adf --squarecb --cb_type mtr -b 14", PLACEMENTS // 10),
]
CREATIVES = 10
LEARNED = 300
CHANGES = 20
CONTEXT = Raw(b'{"hour": 21, "user": {"plan": "free", "age": 0.33}, "device": {"os": "ios"}}')


def creatives(placement: str) -> list[Creative]:
    texts = [f"Sleep better tonight, reason {number}" for number in range(CREATIVES)]
    return [
        Creative(
            id=f"creative-{number}",
            placement=placement,
            parts={"headline": text},
            status="live",
            timestamp_ms=0,
            features=creative_features({"headline": text}),
        )
        for number, text in enumerate(texts)
    ]


def snapshot_of(spec: PolicySpec) -> PolicySnapshot:
    """Returns a policy that has learned, as the learner publishes it."""
    policy = open_policy(spec)
    actions = tuple(Action(each.id, each.features) for each in creatives("any"))
    for number in range(LEARNED):
        decision = Decision(
            event_id=f"{number}",
            placement="any",
            timestamp_ms=number,
            context=CONTEXT,
            actions=actions,
            pmf=(1.0 / CREATIVES,) * CREATIVES,
            index=number % CREATIVES,
            policy_version="v",
        )
        policy.learn(decision, float(number % 40 == 0))
    state = policy.to_bytes()
    return PolicySnapshot(
        placement="any",
        version=policy_version(state, LEARNED),
        spec=policy.spec,
        partition=0,
        offset=LEARNED,
        state=state,
        timestamp_ms=0,
    )


def a_log(text: str, n: int) -> MemoryLog:
    """Returns a log with `n` placements, their creatives and their policies."""
    snapshot = snapshot_of(parse_policy(text))
    log = MemoryLog()
    create_topics(log, partitions=1)
    for number in range(n):
        name = f"placement-{number}"
        placement = Placement(name=name, policy=snapshot.spec)
        log.append([catalogue_message(event) for event in (placement, *creatives(name))])
        own = encode(msgspec.structs.replace(snapshot, placement=name))
        log.append([Message(POLICIES, name.encode(), own)])
    return log


@pytest.mark.benchmark(timer=time.process_time, warmup=False)
@pytest.mark.parametrize(("text", "n"), SERVED)
def test_starting_with_hundreds_of_placements(benchmark: Any, text: str, n: int) -> None:
    """Also what each has grown to once it was asked."""
    log = a_log(text, n)
    sizes = [grown(log, n, read) for read in (resident_bytes, traced_bytes)]
    snapshots = Snapshots(log)
    benchmark.pedantic(snapshots.start, rounds=1)
    snapshots.stop()
    benchmark.extra_info["placements"] = n
    benchmark.extra_info["bytes_per_placement"] = max(sizes) / n
    benchmark.extra_info["milliseconds_per_placement"] = benchmark.stats["median"] / n * 1e3


def grown(log: MemoryLog, n: int, read: Callable[[], int]) -> int:
    """Returns how many bytes more there are once the placements are served and were asked."""
    snapshots = Snapshots(log)
    with traced():
        before = read()
        snapshots.start()
        for number in range(n):
            serving = snapshots.placement(f"placement-{number}")
            assert serving is not None
            serving.policy.pmf(CONTEXT, serving.actions)
        after = read()
    snapshots.stop()
    return after - before


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def traced_bytes() -> int:
    return tracemalloc.get_traced_memory()[0]


def resident_bytes() -> int:
    # Else what an earlier test had freed would be taken again, and nothing seem to grow.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def change_seconds(n: int) -> float:
    """Returns the CPU time of one change of a creative until it is served, among `n` placements."""
    log = a_log("thompson", n)
    snapshots = Snapshots(log)
    snapshots.start()
    paused = msgspec.structs.replace(creatives("placement-0")[0], status="paused")
    live = msgspec.structs.replace(paused, status="live")
    start = time.process_time()
    for number in range(CHANGES):
        (where,) = log.append([catalogue_message(live if number % 2 else paused)])
        while snapshots.catalogue_offset <= where.offset:
            time.sleep(0.0005)
    spent = (time.process_time() - start) / CHANGES
    snapshots.stop()
    return spent


@pytest.mark.benchmark(timer=time.process_time, warmup=False)
def test_a_change_among_hundreds_of_placements(benchmark: Any) -> None:
    few = change_seconds(PLACEMENTS // 10)
    many = benchmark.pedantic(change_seconds, (PLACEMENTS,), rounds=1)
    benchmark.extra_info["seconds a change"] = many
    benchmark.extra_info["times a change among a tenth as many"] = many / few
