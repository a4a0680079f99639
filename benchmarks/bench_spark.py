"""What does judging on Apache Spark cost beside one process, and do both say the same?

The log is `bench_evaluate`'s, in a Parquet file of eight row groups. `copyloop evaluate` judges it
in one process and on Spark's two local workers; the memory is that of all processes at once. One
machine has nothing to gain but a check: Spark starts a JVM and moves every row between processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from benchmarks.bench_evaluate import BY_COLUMNS, ROLES, write

N = 2_000_000
BY_DECISION = ["uniform", "constant:ad0"]


class Cost(NamedTuple):
    """What all processes of a command took, and what it told."""

    cpu_seconds: float
    wall_seconds: float
    peak_mb: float
    told: dict[str, Any]


def run(path: Path, policies: list[str], estimators: list[str], *more: str) -> Cost:
    """Runs `copyloop evaluate`, and returns what it cost."""
    words = ["evaluate", str(path), "--reader", "table", "--format", "json", *more]
    words += [word for role, column in ROLES.items() for word in ("--column", f"{role}={column}")]
    words += [word for policy in policies for word in ("--policy", policy)]
    words += [word for estimator in estimators for word in ("--estimator", estimator)]
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "bandit", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
        text=True,
    )
    root, cpu, peak = psutil.Process(process.pid), dict[int, float](), 0.0
    while process.poll() is None:
        alive = []
        for one in (root, *root.children(recursive=True)):
            try:
                times, memory = one.cpu_times(), one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            cpu[one.pid] = times.user + times.system
            alive.append(memory)
        peak = max(peak, sum(alive))
        time.sleep(0.1)
    assert process.stdout is not None
    told = process.stdout.read()
    assert process.returncode == 0, told
    seconds = time.monotonic() - start
    return Cost(sum(cpu.values()), seconds, peak / 2**20, json.loads(told))


def differences(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Returns by how much two evaluations' values differ at most."""
    return max(
        abs(mine["value"] - theirs["value"])
        for a, b in zip(one["policies"], other["policies"], strict=True)
        for mine, theirs in zip(a["estimates"], b["estimates"], strict=True)
    )


@pytest.mark.parametrize(
    ("policies", "estimators", "n"),
    [(BY_COLUMNS, ["snips", "betting"], N), (BY_DECISION, ["dr"], N // 20)],
    ids=["by_columns", "by_decision"],
)
def test_spark_beside_one_process(
    benchmark: Any, tmp_path: Path, policies: list[str], estimators: list[str], n: int
) -> None:
    pytest.importorskip("pyspark", reason="pyspark is not installed: make spark")
    path = write(tmp_path / "log.parquet", n)
    alone = run(path, policies, estimators, "--processes", "1")
    args = (path, policies, estimators, "--engine", "spark")
    spark = benchmark.pedantic(run, args=args, rounds=1)
    assert differences(alone.told, spark.told) < 1e-9
    benchmark.extra_info["decisions"] = n
    benchmark.extra_info["policies"] = len(policies)
    benchmark.extra_info["largest_difference"] = differences(alone.told, spark.told)
    for name, cost in (("one_process", alone), ("spark", spark)):
        benchmark.extra_info[f"{name}_cpu_seconds"] = round(cost.cpu_seconds, 1)
        benchmark.extra_info[f"{name}_wall_seconds"] = round(cost.wall_seconds, 1)
        benchmark.extra_info[f"{name}_peak_mb"] = round(cost.peak_mb)
