"""Does the API hold out: half the load that it can bear, for as long as it is told?

`--soak-seconds 1800` is the run that counts; the default is a minute. Neither may its memory grow
by more than 5 % after the first minute, nor may a decision that was answered be missing in the
log.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from benchmarks.bench_rank import BODY, PATH, api, resident_mib
from benchmarks.load import running_load
from streams.events import DECISIONS
from streams.logs.base import TopicPartition
from streams.logs.sqlite import SqliteLog

SATURATED_SECONDS = 8.0
ANY_RATE = 1e6
WARM_SHARE, WARM_SECONDS = 0.2, 60.0
"""Memory is compared from here on: after this share of the run, at most so many seconds."""
GROWTH = 0.05


def decisions_in(path: Path) -> int:
    """Returns how many decisions the log holds."""
    log = SqliteLog(path)
    try:
        return log.end_offset(TopicPartition(DECISIONS, 0))
    finally:
        log.close()


def test_half_load_for_long(benchmark: Any, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Ten live creatives, a durable SQLite log; API and load on the same cores."""
    seconds: float = request.config.getoption("--soak-seconds")
    memory: list[float] = []
    with api(tmp_path, f"sqlite:///{tmp_path / 'log.db'}") as server:
        url = f"http://{server.host}:{server.port}"
        with running_load(url, PATH, ANY_RATE, BODY) as saturated:
            time.sleep(SATURATED_SECONDS)
        half = saturated["decisions_per_second"] / 2

        def soak() -> dict[str, Any]:
            with running_load(url, PATH, half, BODY) as figures:
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    memory.append(resident_mib(server.pid))
                    time.sleep(1.0)
            return figures

        figures = benchmark.pedantic(soak, rounds=1)
    answered = saturated["decisions"] + figures["decisions"]
    logged = decisions_in(tmp_path / "log.db")
    warm = memory[int(min(WARM_SHARE * len(memory), WARM_SECONDS)) :]
    edge = max(len(warm) // 20, 1)
    first, last = median(warm[:edge]), median(warm[-edge:])
    benchmark.extra_info.update(
        seconds=seconds,
        saturated_per_second=saturated["decisions_per_second"],
        decisions_per_second=figures["decisions_per_second"],
        answered=answered,
        logged=logged,
        lost=answered - logged,
        refused=saturated["refused"] + figures["refused"],
        memory_mib_first=first,
        memory_mib_last=last,
        memory_growth=last / first - 1.0,
        p50_ms=figures["rank_p50_ms"],
        p99_ms=figures["rank_p99_ms"],
    )
    assert answered == logged
    assert last <= first * (1.0 + GROWTH)
