"""What the tests of the log's users share: empty logs that need no broker, other processes."""

import subprocess
import sys

import pytest

from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog


@pytest.fixture(params=["memory", "sqlite"])
def empty_log(request, tmp_path):
    """Returns an empty log, in memory or in a file."""
    opened = MemoryLog() if request.param == "memory" else SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


@pytest.fixture
def start():
    """Returns what starts one of `processes`, and ends those that run at the end of the test."""
    started = []

    def start(*words):
        command = [sys.executable, "-m", "tests.streams.processes", *map(str, words)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
