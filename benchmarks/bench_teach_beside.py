"""What does a rank cost while a version is being taught beside it?

The baseline is the same server a moment earlier and later with nothing taught: stretches without
and with a step of the schedule alternate. The step is a real one (SmolLM2 learns headlines), with
the limits and the priority that the schedule gives it. `shared` puts server and step on one core,
which is the worst that can be; `free` leaves them where the system puts them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from benchmarks.bench_rank import BODY, PATH, Running, api, cpu_ns
from benchmarks.generator_loop import taught
from benchmarks.load import running_load
from generator.data.dataset import EvidenceThresholds, write_dataset
from generator.versions.schedule import Schedule, step_limits

PER_SECOND: Final = 150.0
STRETCH_SECONDS: Final = 8.0
STRETCHES: Final = 4
"""With a step, and as many without."""
WARM_SECONDS: Final = 90.0
"""The longest that a step may take until it has computed for `WARM_CPU_SECONDS`."""
WARM_CPU_SECONDS: Final = 8.0
"""By then the model is loaded, and it trains."""


@pytest.mark.benchmark(timer=time.time)
@pytest.mark.parametrize("cores", ["free", "shared"])
def test_rank_beside_a_step(benchmark: Any, tmp_path: Path, cores: str) -> None:
    """Latency and CPU of ranks without and with a step, in stretches that alternate."""
    rows = tmp_path / "rows"
    write_dataset(taught(), rows, log=(), thresholds=EvidenceThresholds())
    core = None if cores == "free" else min(os.sched_getaffinity(0))
    with (
        api(tmp_path, f"sqlite:///{tmp_path / 'log.db'}") as server,
        teaching(rows, tmp_path / "run", core) as step,
    ):
        if core is not None:
            pin(server.pid, core)
        stretches = benchmark.pedantic(measured, (server, step), rounds=1)
    assert stretches["beside"]["step_cores"] > 0.05, "the step did not run"
    quiet, beside = stretches["quiet"], stretches["beside"]
    benchmark.extra_info.update(
        {
            f"{name}_{side}": value
            for side, each in stretches.items()
            for name, value in each.items()
        }
    )
    for name in ("p50_ms", "p99_ms", "cpu_us"):
        benchmark.extra_info[f"{name.rpartition('_')[0]}_ratio"] = beside[name] / quiet[name]
    benchmark.extra_info["load_average"] = os.getloadavg()[0]


@contextmanager
def teaching(rows: Path, out: Path, core: int | None) -> Iterator[subprocess.Popen[bytes]]:
    """A step that trains, as the schedule starts it; it is stopped whenever it is not wanted."""
    command = [sys.executable, "-m", "generator", "finetune", str(rows), str(out)]
    step = subprocess.Popen(
        [*command, "--method", "sft"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=step_limits(Schedule()),
    )
    try:
        deadline = time.monotonic() + WARM_SECONDS
        while cpu_ns(step.pid) < 1e9 * WARM_CPU_SECONDS and time.monotonic() < deadline:
            time.sleep(0.1)
        if core is not None:
            pin(step.pid, core)
        yield step
    finally:
        step.kill()
        step.wait()


def measured(server: Running, step: subprocess.Popen[bytes]) -> dict[str, dict[str, float]]:
    """Returns the median over stretches of what ranks cost, without a step and beside one."""
    found: dict[str, list[dict[str, float]]] = {"quiet": [], "beside": []}
    for number in range(2 * STRETCHES):
        side = "beside" if number % 2 else "quiet"
        step.send_signal(signal.SIGCONT if side == "beside" else signal.SIGSTOP)
        found[side].append(stretch(server, step))
        assert step.poll() is None, "the step ended too early"
    return {
        side: {name: median(each[name] for each in several) for name in several[0]}
        for side, several in found.items()
    }


def stretch(server: Running, step: subprocess.Popen[bytes]) -> dict[str, float]:
    """Returns what ranks took for a while, and how much of a core the step had."""
    url = f"http://{server.host}:{server.port}"
    before, step_before, began = cpu_ns(server.pid), cpu_ns(step.pid), time.monotonic()
    with running_load(url, PATH, PER_SECOND, BODY) as figures:
        time.sleep(STRETCH_SECONDS)
    seconds = time.monotonic() - began
    return {
        "p50_ms": figures["rank_p50_ms"],
        "p99_ms": figures["rank_p99_ms"],
        "cpu_us": (cpu_ns(server.pid) - before) / 1e3 / figures["decisions"],
        "step_cores": (cpu_ns(step.pid) - step_before) / 1e9 / seconds,
    }


def pin(pid: int, core: int) -> None:
    """Puts all threads of a process on one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
