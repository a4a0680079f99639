"""The broker that tests and developers run: what it wants, and that it never stays behind."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import kafka_broker
from tests.kafka_broker import BrokerError, resolve_jars


def test_without_java_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrokerError, match="default-jre-headless"):
        resolve_jars()


@pytest.mark.kafka
def test_without_maven_it_says_what_to_install(monkeypatch, tmp_path):
    java = shutil.which("java")
    assert java is not None
    (tmp_path / "java").symlink_to(java)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(kafka_broker, "JARS", tmp_path / "absent")
    with pytest.raises(BrokerError, match="apt install maven"):
        resolve_jars()


@pytest.mark.kafka
def test_it_ends_with_the_process_that_started_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-m", "tests.kafka_broker"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
    ) as process:
        address = process.stdout.readline().rsplit("kafka://")[1].strip()
        assert answers(address)
        process.kill()
    deadline = time.monotonic() + 10
    while answers(address):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.05)


def answers(address):
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return True
    except OSError:
        return False
