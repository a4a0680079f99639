"""Keeps what the benchmarks measured: a table at the end, and rows of JSON.

Every benchmark file has one file under `benchmarks/results/`, with a row a case: commit,
machine, versions, number of rounds, median and spread, and the case's own ratios. The figures
in the README come from there.
"""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "fastapi",
    "kafka-python",
    "msgspec",
    "numpy",
    "torch",
    "transformers",
    "uvicorn",
    "vowpal-wabbit-next",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds what a benchmark may be told."""
    parser.addoption(
        "--soak-seconds", type=float, default=60.0, help="How long bench_soak asks; 1800 for real."
    )
    parser.addoption(
        "--tab-seconds",
        type=float,
        default=600.0,
        help="How long bench_dashboard leaves a tab open.",
    )
    parser.addoption(
        "--hostile-requests",
        type=int,
        default=3000,
        help="How many requests bench_hostile_requests tries.",
    )
    parser.addoption(
        "--fuzz-inputs", type=int, default=100_000, help="How many requests bench_fuzz sends."
    )


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Prints the table and writes the rows of every benchmark that ran to its end."""
    session = getattr(config, "_benchmarksession", None)
    measured = [b for b in session.benchmarks if not b.has_error] if session else []
    if not measured:
        return
    machine = _machine()
    rows: dict[str, list[dict[str, Any]]] = {}
    table = Table("benchmark", "median", "spread (IQR)", "figures", title="What was measured")
    for benchmark in measured:
        row = _row(benchmark) | machine
        rows.setdefault(Path(benchmark.fullname.split("::")[0]).stem, []).append(row)
        figures = "\n".join(f"{name} = {_short(value)}" for name, value in row["figures"].items())
        table.add_row(
            escape(benchmark.name),
            _seconds(row["median_seconds"]),
            _seconds(row["iqr_seconds"]),
            escape(figures),
        )
    Console(width=120).print(table)
    for name, new in rows.items():
        _write(RESULTS / f"{name}.json", new)


def _row(benchmark: Any) -> dict[str, Any]:
    stats = benchmark.stats
    return {
        "case": benchmark.name,
        "n": stats.rounds,
        "median_seconds": stats.median,
        "iqr_seconds": stats.iqr,
        "figures": dict(benchmark.extra_info),
    }


def _write(path: Path, new: list[dict[str, Any]]) -> None:
    """Replaces the rows of the cases that ran, and keeps the others."""
    path.parent.mkdir(exist_ok=True)
    old = json.loads(path.read_text()) if path.exists() else []
    ran = {row["case"] for row in new}
    kept = [row for row in old if row["case"] not in ran]
    path.write_text(json.dumps(sorted(kept + new, key=lambda row: row["case"]), indent=1) + "\n")


def _machine() -> dict[str, Any]:
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=RESULTS.parent
    )
    return {
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{_processor()}, {_cores()} cores",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0))


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
