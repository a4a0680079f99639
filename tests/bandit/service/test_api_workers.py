"""Several workers on one port, as `--workers` starts them."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from bandit.errors import SettingError
from bandit.service.ops.metrics import merged
from bandit.service.settings import Settings
from bandit.service.workers.supervise import bound, serve_workers
from streams.events import DECISIONS, decode
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import wait_until
from tests.streams.logs.log_laws import read_all

CREATIVES = [{"id": name, "parts": {"headline": name}, "status": "live"} for name in "ab"]
RANK = "/v1/placements/p/rank"


def command(folder, workers, *options):
    serve = [sys.executable, "-m", "bandit", "serve", "--data", str(folder), "--port", "0"]
    return [*serve, "--workers", str(workers), *options]


class Served:
    """The supervising process, what it and its workers say, and where they serve."""

    def __init__(self, folder, workers):
        self.said = folder / "said"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(command(folder, workers), stderr=said)
        self._workers = workers

    def find(self):
        self.wait_for("startup complete", self._workers)
        self.url = re.search(r"http://\S+", self.said.read_text())[0]

    def wait_for(self, words, times):
        wait_until(lambda: self.said.read_text().count(words) >= times)

    def pids(self):
        return [int(found) for found in re.findall(r"server process \[(\d+)\]", self.text())]

    def text(self):
        return self.said.read_text()

    def ask(self, path, body=None, *, method="POST"):
        # a connection of its own, so that either worker may get it
        return httpx.request(method, self.url + path, json=body, timeout=30)


@contextmanager
def served(folder, workers=2):
    server = Served(folder, workers)
    try:
        server.find()
        server.ask("/v1/placements/p", {}, method="PUT").raise_for_status()
        server.ask("/v1/placements/p/creatives", CREATIVES).raise_for_status()
        wait_until(lambda: all(server.ask(RANK, {}).status_code == 200 for _ in range(10)))
        yield server
    finally:
        server.process.terminate()
        server.process.wait(timeout=30)


def by_worker(server):
    found = re.findall(
        r'copyloop_requests_total\{route="/v1/placements/\{placement\}/rank",status="200",'
        r'worker="([^"]+)"\} (\S+)',
        server.ask("/metrics", method="GET").text,
    )
    return {worker: float(count) for worker, count in found}


def test_workers_share_the_port_and_the_log_and_one_that_dies_comes_back(tmp_path):
    with served(tmp_path) as server:
        before = sum(by_worker(server).values())
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: server.ask(RANK, {}), range(60)))
        assert {answer.status_code for answer in answers} == {200}
        counted = by_worker(server)
        assert set(counted) == {"api-1", "api-2"}
        assert sum(counted.values()) - before == 60

        os.kill(server.pids()[0], signal.SIGKILL)
        server.wait_for("was killed by signal 9; starts again", 1)
        late = [server.ask(RANK, {}) for _ in range(10)]
        assert {answer.status_code for answer in late} == {200}
        server.wait_for("startup complete", 3)
        wait_until(lambda: server.ask(RANK, {}) and len(by_worker(server)) == 2)
    assert server.process.returncode == 0
    assert "killed;" not in server.text().replace("was killed by signal 9;", "")
    log = SqliteLog(tmp_path / "log.db")
    logged = {decode(record.value).event_id for record in read_all(log, DECISIONS)}
    log.close()
    assert {answer.json()["event_id"] for answer in answers + late} <= logged


def test_all_workers_answer_what_is_in_flight_before_they_end(tmp_path):
    with served(tmp_path) as server:

        def ask(number):
            try:
                return server.ask(RANK, {"event_id": f"e-{number}"})
            except httpx.ConnectError:  # nobody listens any more
                return None
            except (httpx.ReadError, httpx.RemoteProtocolError):  # closed before it was read
                closed.append(f"e-{number}")
                return None

        closed = []
        with ThreadPoolExecutor(8) as pool:
            asked = pool.map(ask, range(200))
            server.process.terminate()
            answers = [answer for answer in asked if answer is not None]
        server.process.wait(timeout=30)
    assert server.process.returncode == 0
    log = SqliteLog(tmp_path / "log.db")
    logged = {decode(record.value).event_id for record in read_all(log, DECISIONS)}
    log.close()
    assert {answer.json()["event_id"] for answer in answers if answer.is_success} <= logged
    # what was taken was answered, so none that was closed on had been taken
    assert not logged & set(closed)


def test_a_wrong_setting_of_the_workers_stops_them_all(tmp_path):
    ended = subprocess.run(
        command(tmp_path, 2, "--log", "nonsense://"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "nonsense" in ended.stderr


def test_a_port_is_shared_with_siblings_alone(tmp_path):
    with bound(Settings(port=0), shared=True) as first:
        first.listen()
        settings = Settings(port=first.getsockname()[1], data=tmp_path, workers=2)
        bound(settings, shared=True).close()
        with pytest.raises(SettingError, match="cannot listen"):
            bound(settings, shared=False)
        # another server with workers is no sibling
        with pytest.raises(SettingError, match="cannot listen"):
            serve_workers(settings)


def test_figures_of_workers_are_told_apart_by_a_label():
    texts = {
        "api-1": b'# HELP c_total Counted.\n# TYPE c_total counter\nc_total{k="x"} 2.0\n',
        "api-2": b"# HELP c_total Counted.\n# TYPE c_total counter\n"
        b'c_total{k="x"} 3.0\n# HELP g Gauged.\n# TYPE g gauge\ng 1.5\n',
    }
    lines = merged(texts).decode().splitlines()
    assert 'c_total{k="x",worker="api-1"} 2.0' in lines
    assert 'c_total{k="x",worker="api-2"} 3.0' in lines
    assert 'g{worker="api-2"} 1.5' in lines
    assert lines.count("# TYPE c_total counter") == 1
