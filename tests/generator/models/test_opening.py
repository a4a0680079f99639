"""The conversion of the packaged model, with something quick in place of the slow part."""

import signal
import subprocess
import sys
import time

import pytest

from generator.models import opening

# Stands in for the conversion: as many files, written as slowly as is asked.
CONVERT = """
import logging, sys, time
from pathlib import Path
from generator.models import opening

def convert(source, target):
    target.mkdir()
    (target / "config.json").write_text("{}")
    time.sleep(float(sys.argv[2]))
    (target / "model.safetensors").write_bytes(b"weights")

logging.basicConfig(level=logging.INFO)
opening._convert = convert
print(opening.packaged_model(Path(sys.argv[1])))
"""


def converting(cache, seconds):
    command = [sys.executable, "-c", CONVERT, str(cache), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_of_two_processes_one_converts_and_both_get_the_model(tmp_path):
    processes = [converting(tmp_path / "models", 0.3) for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    (first, said), (second, also_said) = outputs
    assert first == second
    assert (said + also_said).count("converting the packaged model") == 1
    assert files(tmp_path / "models" / first.strip().rpartition("/")[2]) == [
        "config.json",
        "model.safetensors",
    ]


def test_a_process_killed_while_it_converts_leaves_no_model(tmp_path):
    process = converting(tmp_path, 60)
    unfinished = tmp_path / "smollm2.unfinished" / "config.json"
    while not unfinished.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(tmp_path.glob("smollm2-*"))

    again = converting(tmp_path, 0)
    found, _ = again.communicate()
    folder = tmp_path / found.strip().rpartition("/")[2]
    assert files(folder) == ["config.json", "model.safetensors"]
    assert not unfinished.parent.exists()


@pytest.mark.model
def test_the_converted_model_is_not_converted_again(backend, monkeypatch):
    monkeypatch.setattr(opening, "_convert", lambda *_: pytest.fail("converted again"))
    folder = opening.packaged_model(opening.CACHE)
    assert folder.name == backend.name
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files(folder))
