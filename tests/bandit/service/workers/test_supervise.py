"""The supervisor, watched from outside: real processes, killed for real."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest

from bandit.errors import SettingError
from bandit.service.settings import Settings
from bandit.service.workers.supervise import ProcessSpec, up
from streams.logs.embedded import MemoryLog
from streams.restarts import FILE, RECENT_MS, note_death, often_restarted
from streams.topics import create_topics
from tests.bandit.service.api_server import running as running_api
from tests.bandit.service.api_server import wait_until

UP = """
import sys
from bandit.service.workers.supervise import ProcessSpec, up
from streams.process import stop_on_signals

stop = stop_on_signals()
names_and_code = zip(sys.argv[1::2], sys.argv[2::2])
specs = [ProcessSpec(name, [sys.executable, "-c", code]) for name, code in names_and_code]
sys.exit(up(specs, stop=stop))
"""
# Says its process id, and how it ends when it is asked to.
POLITE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("asked to end", flush=True)))
print("pid", os.getpid(), flush=True)
while True:
    time.sleep(0.05)
"""
SLOW_TO_END = POLITE.replace("sys.exit(", "time.sleep(0.5) or sys.exit(")
WRONG_SETTING = "import sys; sys.exit(print('port 80 is taken', file=sys.stderr) or 2)"


class Running:
    """A supervisor in a process of its own, and the lines that it has relayed."""

    def __init__(self, *names_and_code):
        self.process = subprocess.Popen(
            [sys.executable, "-c", UP, *names_and_code], stderr=subprocess.PIPE, text=True
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def said(self, name):
        split = [line.rstrip("\n").split(" | ", 1) for line in list(self.lines)]
        return [parts[1] for parts in split if parts[0].strip() == name]

    def pids(self, name):
        return [int(line.split()[1]) for line in self.said(name) if line.startswith("pid ")]

    def end(self):
        code = self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        return code


@pytest.fixture
def start():
    started = []

    def begin(*names_and_code):
        started.append(Running(*names_and_code))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.end()
        running.process.stderr.close()


def alive(pid):
    with suppress(ProcessLookupError, FileNotFoundError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def test_a_killed_process_is_started_again_and_the_others_are_left_alone(start):
    running = start("api", POLITE, "learn", POLITE)
    wait_until(lambda: running.pids("api") and running.pids("learn"))
    os.kill(running.pids("learn")[0], signal.SIGKILL)
    wait_until(lambda: len(running.pids("learn")) == 2)
    assert "was killed by signal 9; starts again in 0.5 s" in running.said("learn")
    assert len(running.pids("api")) == 1
    assert alive(running.pids("api")[0])


def test_a_process_that_keeps_dying_is_started_ever_more_seldom(start):
    running = start("learn", "raise SystemExit(1)")
    wait_until(lambda: len(running.said("learn")) >= 3)
    assert running.said("learn")[:3] == [
        f"exited with code 1; starts again in {wait} s" for wait in ("0.5", "1", "2")
    ]


def test_sigterm_ends_the_first_before_the_others_and_exits_0(start):
    running = start("api", SLOW_TO_END, "join", POLITE, "learn", POLITE)
    wait_until(lambda: all(running.pids(name) for name in ("api", "join", "learn")))
    running.process.terminate()
    assert running.end() == 0
    endings = [line.split(" ", 1)[0] for line in running.lines if "asked to end" in line]
    assert endings[0] == "api"
    assert sorted(endings[1:]) == ["join", "learn"]
    assert not any(alive(running.pids(name)[0]) for name in ("api", "join", "learn"))


def test_a_wrong_setting_stops_everything_with_its_message(start):
    running = start("api", WRONG_SETTING, "learn", POLITE)
    assert running.end() == 2
    assert running.said("api") == [
        "port 80 is taken",
        "cannot run with these settings; stopping everything",
    ]
    assert not any(alive(pid) for pid in running.pids("learn"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_no_child_outlives_a_killed_supervisor(start):
    running = start("api", POLITE, "learn", POLITE)
    wait_until(lambda: running.pids("api") and running.pids("learn"))
    running.process.kill()
    running.end()
    wait_until(lambda: not any(alive(running.pids(name)[0]) for name in ("api", "learn")))


def test_last_words_without_a_newline_are_relayed(start):
    running = start("api", "import sys; sys.stdout.write('half a line'); sys.exit(2)")
    running.end()
    assert running.said("api")[0] == "half a line"


def test_a_command_that_does_not_exist_is_a_wrong_setting():
    spec = ProcessSpec("api", ["/no/such/program"])
    with pytest.raises(SettingError, match="process api: '/no/such/program' cannot be run"):
        up([spec], stop=threading.Event(), output=StringIO())


def test_nothing_is_started_once_stop_is_set(tmp_path):
    stop = threading.Event()
    stop.set()
    spec = ProcessSpec("api", [sys.executable, "-c", f"open({str(tmp_path / 'x')!r}, 'w')"])
    assert up([spec], stop=stop, output=StringIO()) == 0
    assert not (tmp_path / "x").exists()


def run_until(condition, *codes, tells=False, **options):
    """Runs `up` in this process until the condition holds; returns its exit code and output."""
    output, stop = StringIO(), threading.Event()

    def watch():
        wait_until(lambda: stop.is_set() or condition(output.getvalue()))
        stop.set()

    watching = threading.Thread(target=watch)
    watching.start()
    specs = [
        ProcessSpec(f"p{n}", [sys.executable, "-c", code], tells) for n, code in enumerate(codes)
    ]
    code = up(specs, stop=stop, output=output, **options)
    stop.set()
    watching.join()
    return code, output.getvalue()


def test_who_has_run_for_a_while_is_started_again_whatever_its_exit_code(monkeypatch):
    monkeypatch.setattr("bandit.service.workers.supervise.PROVEN_SECONDS", 0.1)
    short = "import time; print('here', flush=True); time.sleep(0.3); raise SystemExit(2)"
    code, output = run_until(lambda output: output.count("here") == 2, short)
    assert code == 0
    assert "p0 | exited with code 2; starts again in 0.5 s" in output


READY = "import os; os.write(int(os.environ['COPYLOOP_READY_FD']), b'1')\n"


def test_a_wrong_setting_stops_everything_however_slow_the_start(monkeypatch):
    monkeypatch.setattr("bandit.service.workers.supervise.PROVEN_SECONDS", 0.1)
    slow = "import time; print('here', flush=True); time.sleep(0.5); raise SystemExit(2)"
    code, output = run_until(lambda output: output.count("here") == 2, slow, tells=True)
    assert code == 2
    assert "cannot run with these settings" in output


def test_who_has_been_ready_is_started_again_whatever_its_exit_code():
    short = READY + "print('here', flush=True); raise SystemExit(2)"
    code, output = run_until(lambda output: output.count("here") == 2, short, tells=True)
    assert code == 0
    assert "p0 | exited with code 2; starts again in 0.5 s" in output


def test_a_supervisor_is_ready_once_all_of_its_processes_are():
    told = []
    long = "import time; print('up', flush=True); time.sleep(60)"
    code, _ = run_until(
        lambda _: told, READY + long, READY + long, tells=True, ready=lambda: told.append(1)
    )
    assert (code, bool(told)) == (0, True)
    code, _ = run_until(
        lambda output: output.count("up") == 2, long, READY + long, tells=True, ready=told.clear
    )
    assert told


def test_a_process_that_does_not_end_when_asked_is_killed(monkeypatch):
    monkeypatch.setattr("bandit.service.workers.supervise.GRACE_SECONDS", 0.3)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + POLITE.replace(
        "signal.signal(", "(lambda *_: 0)("
    )
    code, output = run_until(lambda output: "pid" in output, deaf)
    assert code == 0
    assert "p0 | still runs after 0.3 s; killed" in output
    assert not alive(int(output.split("pid ")[1].split()[0]))


def test_who_dies_again_and_again_is_noted_for_health(tmp_path):
    deaths, stop = tmp_path / FILE, threading.Event()
    specs = [
        ProcessSpec("sound", [sys.executable, "-c", POLITE]),
        ProcessSpec("ill", [sys.executable, "-c", "raise SystemExit(1)"]),
    ]
    options = {"stop": stop, "output": StringIO(), "deaths": deaths}
    supervisor = threading.Thread(target=up, args=(specs,), kwargs=options)
    supervisor.start()
    wait_until(lambda: often_restarted(deaths, time.time_ns() // 1_000_000))
    stop.set()
    supervisor.join(30)
    now_ms = time.time_ns() // 1_000_000
    assert often_restarted(deaths, now_ms).keys() == {"ill"}
    assert often_restarted(deaths, now_ms + RECENT_MS) == {}


def test_health_names_who_dies_again_and_again(tmp_path):
    log = MemoryLog()
    create_topics(log)
    with running_api(log, Settings(data=tmp_path)) as api:
        assert "restarts" not in api.client.get("/health").json()
        for _ in range(3):
            note_death(tmp_path / FILE, "join", time.time_ns() // 1_000_000)
        note_death(tmp_path / FILE, "learn", time.time_ns() // 1_000_000)
        assert api.client.get("/health").json()["restarts"] == {"join": 3}
