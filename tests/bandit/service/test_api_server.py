import signal
import socket
import sqlite3
from contextlib import closing, contextmanager

import pytest

from bandit.service.settings import Settings
from streams.events import DECISIONS
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import code_of, running, served, start_process, wait_until


@contextmanager
def served_on_disk(folder):
    """A server in a process of its own, and its API with the log that it serves."""
    with served(folder) as (process, api), closing(SqliteLog(folder / "log.db")) as log:
        api.log = log
        yield process, api


@pytest.fixture
def locked(tmp_path):
    """Locks the log's file for writing, as somebody else's tool would."""

    @contextmanager
    def lock():
        database = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.execute("ROLLBACK")
        database.close()

    return lock


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_is_answered_before_the_end(tmp_path, number):
    with served_on_disk(tmp_path) as (process, api):
        name = api.placement("p")
        host, port = api.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            body = b'{"event_id": "in-flight"}'
            connection.sendall(
                f"POST /v1/placements/{name}/rank HTTP/1.1\r\nHost: {host}\r\n"
                f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")
            process.send_signal(number)
            wait_until(lambda: refuses_connections(host, int(port)))
            connection.sendall(body)
            assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
        assert process.wait(30) == 0
        assert api.decision("in-flight").placement == name


def refuses_connections(host, port):
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return True
    return False


def test_what_was_answered_survives_a_kill(tmp_path):
    with served_on_disk(tmp_path) as (process, api):
        name = api.placement("p")
        answered = [api.rank(name).json()["event_id"] for _ in range(20)]
        process.kill()
        process.wait()
        assert [decision.event_id for decision in api.logged(DECISIONS)] == answered
    with served_on_disk(tmp_path) as (process, api):
        assert api.rank(name).status_code == 200


def test_a_port_that_is_taken_stops_the_start(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start_process(tmp_path, "--port", str(port))
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "setting_invalid" in said
    assert str(port) in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("option", "value"), [("--host", "no.such.host.invalid"), ("--port", "70000")]
)
def test_a_bad_setting_stops_the_start(tmp_path, option, value):
    process = start_process(tmp_path, option, value)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert option in said
    assert "Traceback" not in said


def test_a_log_that_is_locked_is_said_and_got_over(tmp_path, locked):
    log = SqliteLog(tmp_path / "log.db", patience_seconds=0.1)
    with running(log) as api:
        name = api.placement("p")
        with locked():
            for answer in (
                api.rank(name, event_id="refused"),
                api.event(name, "e", "reward", {"value": 1}),
                api.client.put("/v1/placements/q", json={}),
                api.client.get("/health"),
            ):
                assert code_of(answer) == (503, "log_unavailable")
                assert str(tmp_path) not in answer.text, "callers need not know where the log is"
                assert int(answer.headers["retry-after"]) >= 1
        assert api.rank(name, event_id="taken").status_code == 200
        assert api.client.get("/health").status_code == 200
        assert [decision.event_id for decision in api.logged(DECISIONS)] == ["taken"]
    log.close()


def test_buffered_decisions_wait_for_a_locked_log(tmp_path, locked):
    log = SqliteLog(tmp_path / "log.db", patience_seconds=0.1)
    with running(log, Settings(durability="buffered", max_waiting=3)) as api:
        name = api.placement("p")
        with locked():
            for number in range(3):
                assert api.rank(name, event_id=f"e{number}").status_code == 200
            assert code_of(api.rank(name, event_id="e3")) == (503, "overloaded")
        wait_until(lambda: len(api.logged(DECISIONS)) == 3)
        assert [decision.event_id for decision in api.logged(DECISIONS)] == ["e0", "e1", "e2"]
    log.close()
