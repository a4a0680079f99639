"""A real process that is told to end: notice first, then the end, with nothing lost."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from streams.events import DECISIONS
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import Api, code_of, wait_until
from tests.running import free_port

NOTICE_SECONDS = 1.0


@pytest.fixture
def served(tmp_path):
    """Serves a data folder in a process of its own; yields it with a client and stderr's path."""
    port, log_path = free_port(), tmp_path / "stderr.txt"
    command = [sys.executable, "-m", "bandit", "serve", "--log-format", "json"]
    with log_path.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--data", str(tmp_path), "--port", str(port)],
            stderr=stderr,
            env={
                "PATH": "",
                "PYTHONPATH": ":".join(sys.path),
                "COPYLOOP_DRAIN_NOTICE_SECONDS": str(NOTICE_SECONDS),
            },
        )
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(url) or process.poll() is not None)
    with httpx.Client(base_url=url) as client:
        yield process, client, tmp_path, log_path
    process.kill()
    process.wait()


def answers(url):
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_readiness_goes_first_and_requests_are_answered_to_the_end(served):
    process, client, data, stderr = served
    client.put("/v1/placements/home", json={}).raise_for_status()
    creative = {"id": "a", "parts": {"headline": "A"}}
    client.post("/v1/placements/home/creatives", json=creative).raise_for_status()
    answered, ended = [], []

    def ask():
        with httpx.Client(base_url=client.base_url) as own:
            while not ended:
                try:
                    answer = own.post("/v1/placements/home/rank", json={})
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    answered.append(answer.json()["event_id"])

    with ThreadPoolExecutor(4) as askers:
        for _ in range(4):
            askers.submit(ask)
        wait_until(lambda: len(answered) > 20)
        process.send_signal(signal.SIGTERM)
        told_at = time.monotonic()
        wait_until(lambda: client.get("/health").status_code == 503)
        assert code_of(client.get("/health")) == (503, "draining")
        assert client.get("/health/live").status_code == 200, "it is to be left alone meanwhile"
        assert client.post("/v1/placements/home/rank", json={}).status_code == 200
        assert process.wait(20) == 0
        ended.append(True)
    assert time.monotonic() - told_at >= NOTICE_SECONDS
    log = SqliteLog(data / "log.db")
    logged = {decision.event_id for decision in Api("", None, log).logged(DECISIONS)}
    log.close()
    assert set(answered) <= logged, "what was answered is in the log"
    assert '"draining: ' in stderr.read_text().replace('"message": ', "")


def test_a_second_signal_ends_it_at_once(served):
    process, client, _, _ = served
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: client.get("/health").status_code == 503)
    told_at = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert time.monotonic() - told_at < NOTICE_SECONDS
