"""Figures, at once and as they change, from the log that a real joiner and learner write."""

import json
import threading
from collections import Counter
from contextlib import contextmanager

import httpx
import pytest
from msgspec.structs import replace

from bandit.learning.worker import run_learner
from streams.catalogue.state import CatalogueReader, catalogue_message
from streams.events import INTERACTIONS, Action, Interaction, Lineage, encode
from streams.join.worker import run_joiner
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from tests.bandit.decisions import a_decision
from tests.bandit.service.api_server import code_of, running, wait_until


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """A server, a joiner and a learner on one log."""
    folder = tmp_path_factory.mktemp("figures")
    logs = [SqliteLog(folder / "log.db") for _ in range(3)]
    stop = threading.Event()
    with running(logs[0]) as api:
        runs = [
            threading.Thread(
                target=run_joiner, args=(logs[1], folder / "join"), kwargs={"stop": stop}
            ),
            threading.Thread(
                target=run_learner, args=(logs[2], folder / "learn"), kwargs={"stop": stop}
            ),
        ]
        for run in runs:
            run.start()
        yield api
        stop.set()
        for run in runs:
            run.join(30)
    for log in logs:
        log.close()


def figures(api, name, **params):
    answer = api.client.get(f"/v1/placements/{name}/figures", params=params)
    return answer.raise_for_status().json()


def visits(api, name, count, clicks):
    """So many ranks, of which the first ones are clicked; returns who was shown."""
    shown = []
    for number in range(count):
        context = {"device": "phone" if number % 2 else "desk", "n": number}
        ranked = api.rank(name, context=context).raise_for_status().json()
        shown.append(ranked["action"]["id"])
        if number < clicks:
            api.event(name, ranked["event_id"], "outcomes", {"kind": "click"})
    return shown


def counted(api, name):
    """Returns how many showings the joiner has written, and what they earned."""
    total = figures(api, name)["total"]
    return total["shown"], total["reward"]


@pytest.fixture(scope="module")
def shown(loop):
    """Who was shown to the 30 visitors of `visited`, of whom 12 clicked."""
    loop.placement("visited", policy={"name": "thompson", "alpha": 1, "beta": 1})
    shown = visits(loop, "visited", 30, 12)
    wait_until(lambda: counted(loop, "visited") == (30, 12))
    wait_until(lambda: loop.client.get("/v1/placements/visited/policy").json()["offset"] > 0)
    return shown


@pytest.fixture(scope="module")
def visited(shown):
    return "visited"


def test_showings_and_rewards_are_counted_by_creative(loop, visited, shown):
    found = figures(loop, visited)
    assert found["complete"]
    total = found["total"]
    assert (total["shown"], total["reward"], total["rate"]) == (30, 12, 0.4)
    assert total["low"] < 0.4 < total["high"]
    counts = {creative: each["shown"] for creative, each in found["creatives"].items()}
    assert counts == {creative: shown.count(creative) for creative in "abc"}
    assert sum(each["reward"] for each in found["creatives"].values()) == 12


def test_points_have_shares_and_the_pmf(loop, visited):
    for resolution, seconds in (("minute", 60), ("hour", 3600)):
        found = figures(loop, visited, resolution=resolution)
        assert found["bucket_seconds"] == seconds
        assert sum(point["shown"] for point in found["points"]) == 30
        for point in found["points"]:
            assert point["start_ms"] % (seconds * 1000) == 0
            assert sum(c["share"] for c in point["creatives"].values()) == pytest.approx(1)
            assert sum(c["pmf"] for c in point["creatives"].values()) == pytest.approx(1)
    last = found["points"][-1]["start_ms"]
    assert figures(loop, visited, resolution="hour", since_ms=last + 1)["points"] == []
    assert len(figures(loop, visited, resolution="hour", since_ms=last)["points"]) == 1


def test_the_policy_says_what_it_believes(loop, visited):
    for creative in figures(loop, visited)["creatives"].values():
        posterior = creative["posterior"]
        assert 0 <= posterior["low"] < posterior["mean"] < posterior["high"] <= 1
    other = loop.placement("silent", policy={"name": "uniform"})
    assert figures(loop, other)["creatives"]["a"]["posterior"] is None


def test_lifts_are_of_closed_decisions_and_there_from_the_start(loop):
    body = {"reward": {"window_seconds": 0.3, "grace_seconds": 0.1}, "safety": {"baseline": "a"}}
    name = loop.placement("lifted", policy={"name": "uniform"}, **body)
    begun = figures(loop, name)["lifts"]
    assert [(each["over"], each["name"], each["n"]) for each in begun] == [
        ("uniform", None, 0),
        ("baseline", "a", 0),
    ]
    visits(loop, name, 20, 5)
    wait_until(lambda: figures(loop, name)["lifts"][0]["n"] == 20)
    uniform, baseline = figures(loop, name)["lifts"]
    assert uniform["value"] == 0.25
    assert uniform["difference"] == pytest.approx(0.0)
    for lift in (uniform, baseline):
        assert lift["low"] <= lift["difference"] <= lift["high"]
        assert lift["value"] - lift["other"] == pytest.approx(lift["difference"])
    points = figures(loop, name)["points"]
    assert all(point["explored"] == pytest.approx(2 / 3) for point in points)
    assert all(point["entropy"] == pytest.approx(1.0) for point in points)


def test_segments_and_delays(loop, visited):
    found = figures(loop, visited)
    devices = found["segments"]["device"]
    assert {v: sum(c["shown"] for c in by.values()) for v, by in devices.items()} == {
        "phone": 15,
        "desk": 15,
    }
    assert "n" not in found["segments"], "numbers make no segments"
    winners = found["winners"]["device"]
    assert winners.keys() == devices.keys()
    for value, winner in winners.items():
        rates = {name: each["rate"] for name, each in devices[value].items()}
        assert rates[winner["creative"]] == max(rates.values())
        assert all(0.0 <= each["low"] < each["high"] <= 1.0 for each in devices[value].values())
    (clicks,) = found["delays"]
    assert clicks["kind"] == "click"
    assert sum(clicks["counts"]) == 12
    assert len(clicks["counts"]) == len(clicks["within_seconds"])


def test_a_placement_names_whose_decisions_depend_on_each_other(loop):
    name = loop.placement("named", policy={"name": "uniform"}, unit="context.user")
    path = f"/v1/placements/{name}"
    assert loop.client.get(path).json()["unit"] == "context.user"
    loop.placement(name, policy={"name": "uniform"}, unit=None)
    assert loop.client.get(path).json().get("unit") is None
    refused = loop.client.put(path, json={"policy": {"name": "uniform"}, "unit": ""})
    assert code_of(refused) == (422, "body_invalid")


def test_policy_versions_are_marks_on_the_time_axis(loop):
    name = loop.placement("marked", policy={"name": "uniform"})
    body = {"policy": {"name": "thompson"}, "why": "time to learn"}
    loop.client.post(f"/v1/placements/{name}/policy/promote", json=body).raise_for_status()
    marks = figures(loop, name)["policies"]
    assert [(m["number"], m["policy"], m["why"]) for m in marks] == [
        (1, "uniform", None),
        (2, "thompson", "time to learn"),
    ]


def test_generator_versions_are_told_apart(loop):
    name = loop.placement("written", policy={"name": "uniform"})
    creative = loop.client.get(f"/v1/placements/{name}/creatives/a").json()
    assert creative["lineage"]["model"] is None
    reader = CatalogueReader(loop.log)
    reader.catch_up()
    written = replace(
        reader.catalogue.creative(name, "a"), lineage=Lineage(model="base", adapter="adcopy-v2")
    )
    loop.log.append([catalogue_message(written)])
    shown = visits(loop, name, 12, 0)
    wait_until(lambda: figures(loop, name)["total"]["shown"] == 12)
    found = {g["generator"]: g for g in figures(loop, name)["generators"]}
    assert (found["adcopy-v2"]["creatives"], found["by hand"]["creatives"]) == (1, 2)
    assert found["adcopy-v2"]["shown"] == shown.count("a")


@contextmanager
def stream(api, last_event_id=None, **params):
    """The ids and the data of server-sent events, as they come."""
    headers = {} if last_event_id is None else {"last-event-id": last_event_id}
    with httpx.stream(
        "GET", f"{api.url}/v1/live", params=params, headers=headers, timeout=30
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_of(answer.iter_lines())


def events_of(lines):
    fields = {}
    for line in lines:
        if not line and "data" in fields:
            yield fields["id"], json.loads(fields["data"])
        name, _, value = line.partition(": ")
        fields[name] = value


def test_a_stream_tells_what_changes_as_it_does(loop):
    name = loop.placement("streamed", policy={"name": "uniform"})
    with stream(loop, placement=name, interval_seconds=0.25) as events:
        _, first = next(events)
        assert (first["placement"], first["total"]["shown"]) == (name, 0)
        visits(loop, name, 6, 3)
        event_id, last = next(events)
        while (last["total"]["shown"], last["total"]["reward"]) != (6, 3):
            event_id, last = next(events)
    assert sum(point["shown"] for point in last["points"]) <= 6
    assert sum(last["shares"].values()) == pytest.approx(1)
    assert last["policy_version"]
    assert event_id == str(last["changed_ms"])


def test_a_stream_tells_of_all_that_came_in_one_millisecond():
    log = MemoryLog(clock=lambda: 7)
    decision = a_decision("e", (Action("a"),), (1.0,), 0, at_ms=7, placement="still")
    event = Interaction(
        source=0, sequence=0, decision=decision, reward=0.0, status="provisional", timestamp_ms=7
    )
    with running(log) as api:
        name = api.placement("still")
        with stream(api, placement=name, interval_seconds=0.25) as events:
            for number in range(3):
                assert next(events)[1]["total"]["shown"] == number
                log.append([Message(INTERACTIONS, b"still", encode(event))])


def test_a_stream_goes_on_where_it_broke_off(loop):
    name = loop.placement("resumed", policy={"name": "uniform"})
    visits(loop, name, 4, 0)
    wait_until(lambda: figures(loop, name)["total"]["shown"] == 4)
    with stream(loop, placement=name, once=True) as events:
        event_id, first = next(events)
    assert sum(point["shown"] for point in first["points"]) == 4
    with stream(loop, last_event_id=str(int(event_id) + 1), placement=name, once=True) as events:
        _, then = next(events)
    assert then["points"] == [], "nothing changed since"
    assert then["total"]["shown"] == 4
    with stream(loop, last_event_id=event_id, placement=name, once=True) as events:
        assert next(events)[1]["points"], "of the last moment all is told again"


def test_a_stream_without_a_name_is_of_all(loop, visited):
    names = {p["name"] for p in loop.client.get("/v1/placements?limit=1000").json()["items"]}
    text = loop.client.get("/v1/live", params={"once": True}).text
    told = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    assert {each["placement"] for each in told} == names
    assert text.startswith("retry: ")


def test_what_is_not_there_is_not_streamed(loop):
    gone = (404, "placement_not_found")
    assert code_of(loop.client.get("/v1/live?placement=nowhere")) == gone
    assert code_of(loop.client.get("/v1/placements/nowhere/figures")) == gone
    assert code_of(loop.client.get("/v1/live?interval_seconds=0.1")) == (422, "body_invalid")


def test_points_tell_of_the_likeliest_only_where_that_is_asked_for(loop, visited):
    every = figures(loop, visited)["points"]
    points = figures(loop, visited, top=1)["points"]
    assert [point["shown"] for point in points] == [point["shown"] for point in every]
    named = {name for point in points for name in point["creatives"]}
    expected = Counter()
    for point in every:
        for name, share in point["creatives"].items():
            expected[name] += share["pmf"] * point["shown"]
    assert len(expected) > 1
    assert named == {max(expected, key=expected.get)}


def test_all_placements_are_told_at_a_glance(loop, visited):
    overview = loop.client.get("/v1/overview").raise_for_status().json()
    assert [each["placement"] for each in overview["items"]] == sorted(
        each["placement"] for each in overview["items"]
    )
    [glance] = [each for each in overview["items"] if each["placement"] == visited]
    whole = figures(loop, visited)
    assert glance["total"] == whole["total"]
    assert glance["lifts"] == whole["lifts"]
    assert glance["live"] == sum(c["status"] == "live" for c in whole["creatives"].values())
