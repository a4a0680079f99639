"""`copyloop up` as a whole: what it starts, what each process tells, what it refuses."""

import json
import re
import subprocess
import sys
import time

import pytest

from bandit.client import Client
from bandit.commands.up import MEASURED, process_specs
from streams.logs.base import Message
from streams.logs.sqlite import SqliteLog
from tests.running import copyloop_up
from tests.scraping import PATIENCE_SECONDS, scrape

MAPPING = """
topic: clicks
event_id: e
kind: t
"""


@pytest.fixture
def mapping(tmp_path):
    file = tmp_path / "clicks.yaml"
    file.write_text(MAPPING)
    return str(file)


def said(data, process):
    """The URL of the process's metrics, once it has told it."""
    pattern = rf"^{process} +\| .* metrics on (http://\S+)/metrics$"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := re.search(pattern, (data / "up.log").read_text(), re.MULTILINE)):
        assert time.monotonic() < deadline, f"{process} does not tell"
        time.sleep(0.05)
    return found[1]


def scrape_until(url, name, value, **labels):
    """The metrics of the process, once this one of them has the value."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := scrape(url))(name, **labels) != value:
        assert time.monotonic() < deadline, (name, answer(name, **labels), value)
        time.sleep(0.05)
    return answer


def test_a_click_in_a_topic_of_somebody_elses_is_told_by_every_process(tmp_path, mapping):
    log = SqliteLog(tmp_path / "log.db")
    log.create_topic("clicks")
    options = ("--no-generator", "--mapping", mapping, "--metrics-port", "0")
    with copyloop_up(tmp_path, *options) as url:
        client = Client(url)
        client.request("PUT", "/v1/placements/home", {"policy": {"name": "thompson"}})
        creatives = [{"id": name, "parts": {"headline": name}, "status": "live"} for name in "ab"]
        client.request("POST", "/v1/placements/home/creatives", creatives)
        event_id = client.request("POST", "/v1/placements/home/rank", {"context": {}})["event_id"]
        log.append([Message("clicks", b"k", json.dumps({"e": event_id, "t": "click"}).encode())])
        log.append([Message("clicks", b"k", b"no json")])
        urls = {name: said(tmp_path, name) for name in ("join", "learn", "archive", "ingest")}

        ingest = scrape_until(urls["ingest"], "copyloop_ingest_refused_total", 1)
        assert ingest("copyloop_ingest_outcomes_total") == 1
        latency = "copyloop_join_latency_seconds_count"
        join = scrape_until(urls["join"], latency, 1, status="corrected")
        assert join(latency, status="provisional") == 1
        learn = scrape_until(urls["learn"], "copyloop_learn_interactions_total", 2)
        of_joiner = {"group": "joiner", "topic": "outcomes", "partition": 0}
        of_learner = {"group": "learner", "topic": "interactions", "partition": 0}
        for answer, labels in ((join, of_joiner), (learn, of_learner)):
            assert answer("copyloop_consumer_lag_records", log="log", **labels) is not None
        scrape_until(urls["learn"], "copyloop_consumer_lag_records", 0, log="log", **of_learner)
        assert scrape(urls["archive"])("copyloop_archive_rows_total") is not None
        api = scrape(url)
        assert api("copyloop_decisions_total", placement="home") == 1
        assert api("copyloop_log_appended_messages_total", log="log", topic="decisions") == 1
        assert len(set(urls.values())) == 4
        client.close()
    log.close()


def test_each_process_has_the_port_that_the_help_says():
    own = {"api": ["--port", "80"]} | {name: [] for name in MEASURED}
    specs = process_specs(["--data", "d"], own, "::1", 9100)
    assert [spec.name for spec in specs] == ["api", *MEASURED]
    words = " ".join(specs[0].argv)
    assert words.endswith("-m bandit serve --data d --port 80")
    for number, spec in enumerate(specs[1:]):
        assert spec.argv[-4:] == ["--metrics-host", "::1", "--metrics-port", str(9100 + number)]
    assert all("--metrics-port" not in s.argv for s in process_specs([], own))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--mapping", "absent.yaml"], "mapping_invalid: mapping absent.yaml"),
        (["--source", "memory://"], "--source is of mapped topics"),
        (["--metrics-port", "65001"], "--metrics-port"),
    ],
)
def test_what_cannot_be_started_is_said_before_anything_is(options, reason, tmp_path):
    command = [sys.executable, "-m", "bandit", "up", "--data", str(tmp_path / "data"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert reason in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_mapped_topic_that_is_not_there_stops_everything(tmp_path, mapping):
    command = [sys.executable, "-m", "bandit", "up", "--data", str(tmp_path), "--no-generator"]
    done = subprocess.run(
        [*command, "--no-ui", "--port", "0", "--mapping", mapping],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "ingest  | copyloop: topic_unknown: there is no topic 'clicks'" in done.stderr
