"""How long does it take to judge ten policies on five million decisions, and how much memory?

The log is made, in a temporary folder: a Parquet file with ten creatives, two context columns and
the answers of six policies. `copyloop evaluate` runs as a user would run it, and the kernel tells
its peak memory; the same log cut to a tenth is the baseline of memory. Policies whose answers are
columns are judged by columns; policies of ours are asked decision by decision, of which half a
million are enough to tell what one costs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

N = 5_000_000
GROUP = 250_000
CREATIVES = 10
ROLES = {
    "reward": "clicked",
    "propensity": "p",
    "action": "ad",
    "timestamp_ms": "at",
    "context.device": "device",
    "context.hour": "hour",
} | {f"target.p{number}": f"p{number}" for number in range(6)}
BY_COLUMNS = [
    "uniform",
    *(f"constant:ad{number}" for number in range(3)),
    *(f"column:p{number}" for number in range(6)),
]
BY_DECISION = [
    "uniform",
    *(f"constant:ad{number}" for number in range(3)),
    *(f"column:p{number}" for number in range(3)),
    "epsilon_greedy",
    "epsilon_greedy:epsilon=0.02",
    "floor:epsilon=0.2,policy=epsilon_greedy",
]


class Cost(NamedTuple):
    """What a command took, and the value that it found for the last policy."""

    cpu_seconds: float
    wall_seconds: float
    peak_mb: float
    n: int
    error: float


def tables(n: int) -> Iterator[pa.Table]:
    """The log in parts: a logged pmf per device, six policies' answers, clicks of some percent."""
    rng = np.random.default_rng(0)
    logged = rng.dirichlet(np.full(CREATIVES, 3.0), size=2)
    others = rng.dirichlet(np.full(CREATIVES, 1.0), size=(6, 2))
    rates = rng.uniform(0.01, 0.06, (2, CREATIVES))
    names = np.array([f"ad{number}" for number in range(CREATIVES)])
    for start in range(0, n, GROUP):
        size = min(GROUP, n - start)
        device = rng.integers(0, 2, size)
        action = (rng.random(size)[:, None] > logged[device].cumsum(axis=1)[:, :-1]).sum(axis=1)
        columns = {
            "clicked": (rng.random(size) < rates[device, action]).astype(np.int8),
            "p": logged[device, action],
            "ad": names[action],
            "at": 1_750_000_000_000 + 500 * np.arange(start, start + size),
            "device": np.array(["mobile", "desktop"])[device],
            "hour": rng.integers(0, 24, size),
        }
        answers = {f"p{number}": others[number][device, action] for number in range(6)}
        yield pa.table(columns | answers)


def truth() -> float:
    """What the policy `p0` earns, by the world that the log is made from."""
    rng = np.random.default_rng(0)
    rng.dirichlet(np.full(CREATIVES, 3.0), size=2)
    others = rng.dirichlet(np.full(CREATIVES, 1.0), size=(6, 2))
    rates = rng.uniform(0.01, 0.06, (2, CREATIVES))
    return float((others[0] * rates).sum(axis=1).mean())


def write(path: Path, n: int) -> Path:
    """Writes the log."""
    writer = None
    for table in tables(n):
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path


def run(path: Path, policies: list[str], *, processes: int) -> Cost:
    """Runs `copyloop evaluate`, and returns what it cost."""
    words = ["evaluate", str(path), "--reader", "table", "--format", "json"]
    words += [word for role, column in ROLES.items() for word in ("--column", f"{role}={column}")]
    words += [word for policy in policies for word in ("--policy", policy)]
    words += ["--estimator", "snips", "--estimator", "betting", "--processes", str(processes)]
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "bandit", *words],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    with process.stdout:
        out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, out
    told = json.loads(out)
    (found,) = (row for row in told["policies"] if row["policy"] == "column:p0")
    value = found["estimates"][0]["value"]
    return Cost(
        usage.ru_utime + usage.ru_stime,
        time.monotonic() - start,
        usage.ru_maxrss / 1024,
        told["n"],
        abs(value / truth() - 1.0),
    )


@pytest.mark.parametrize(
    ("policies", "processes", "n"),
    [(BY_COLUMNS, 1, N), (BY_COLUMNS, 2, N), (BY_DECISION, 1, N // 10)],
    ids=["by_columns", "by_columns_two_processes", "by_decision"],
)
def test_ten_policies(
    benchmark: Any, tmp_path: Path, policies: list[str], processes: int, n: int
) -> None:
    small = run(write(tmp_path / "small.parquet", n // 10), policies, processes=processes)
    path = write(tmp_path / "log.parquet", n)
    found = benchmark.pedantic(
        run, args=(path, policies), kwargs={"processes": processes}, rounds=1
    )
    assert found.n == n
    assert found.error < 0.05
    benchmark.extra_info["decisions"] = n
    benchmark.extra_info["policies"] = len(policies)
    benchmark.extra_info["cpu_seconds"] = round(found.cpu_seconds, 1)
    benchmark.extra_info["wall_seconds"] = round(found.wall_seconds, 1)
    benchmark.extra_info["peak_mb"] = round(found.peak_mb)
    benchmark.extra_info["peak_mb_of_a_tenth"] = round(small.peak_mb)
    benchmark.extra_info["file_mb"] = round(path.stat().st_size / 1e6)
    benchmark.extra_info["relative_error_of_one"] = round(found.error, 4)
