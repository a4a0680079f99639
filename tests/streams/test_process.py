import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.errors import LogUnavailable, TopicError
from streams.process import long_running, module_command


@pytest.fixture
def process(tmp_path):
    """A long-running process in this one, whose signals and log lines are as before at its end."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield lambda: long_running("p", f"sqlite:///{tmp_path / 'log.db'}")
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_who_is_to_stop_while_the_log_is_away_ends_as_asked(process, caplog):
    with process() as running:
        signal.raise_signal(signal.SIGTERM)
        assert running.stop.is_set()
        raise LogUnavailable("the broker is away")
    assert "stopped while the log is away (the broker is away)" in caplog.text


def test_a_log_that_is_away_ends_a_process_that_nobody_stopped(process):
    with pytest.raises(LogUnavailable, match="away"), process():
        raise LogUnavailable("away")


def test_other_errors_are_told_at_the_end_too(process):
    def stopped_and_wrong():
        with process() as running:
            running.stop.set()
            raise TopicError("none")

    with pytest.raises(TopicError):
        stopped_and_wrong()


ROOT = Path(__file__).parents[2]
PACKAGES = ("streams", "bandit", "generator")


@pytest.fixture
def hostile(tmp_path):
    """A folder whose modules have the names of ours and of Python's, and say that they ran."""
    ran = f"open({str(tmp_path / 'ran')!r}, 'w')"
    for name in ("streams", "secrets", "random", "copyloop"):
        (tmp_path / f"{name}.py").write_text(ran)
    for name in ("bandit", "generator", "multiprocessing"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(ran)
    return tmp_path


def runs_in(folder, command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return (folder / "ran").exists()


@pytest.mark.parametrize("module", [*PACKAGES, "bandit.service.evaluations.work"])
def test_a_command_of_ours_runs_no_module_of_the_folder_it_is_called_in(hostile, module):
    assert not runs_in(hostile, module_command(module, "--help"))


def test_processes_that_python_starts_for_us_do_not_either(hostile):
    script = hostile / "sub" / "console.py"
    script.parent.mkdir()
    script.write_text(
        "import sys\n"
        "from multiprocessing import get_context\n"
        "from streams.process import run_command\n"
        "def work():\n"
        "    import secrets\n"
        "def main():\n"
        "    child = get_context('spawn').Process(target=work)\n"
        "    child.start()\n"
        "    child.join()\n"
        "    sys.exit(child.exitcode)\n"
        "if __name__ == '__main__':\n"
        "    run_command(main)\n"
    )
    assert not runs_in(hostile, [sys.executable, str(script)])


def test_every_process_of_ours_is_started_by_the_one_function():
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "sys.executable" in path.read_text()
    }
    # The second one names an interpreter to Spark, which starts its workers itself.
    assert found == {"streams/process.py", "bandit/ope/spark/workers.py"}
