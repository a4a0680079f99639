"""OFREP as it goes over the wire: values, stickiness, tracking, and errors."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from bandit.service.settings import Settings
from bandit.verification import audit
from streams.events import ASSIGNMENTS, DECISIONS
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import running, wait_until

EVALUATE = "/ofrep/v1/evaluate/flags"


def ask(api, flag, user="u-1", headers=None, **context):
    body = {"context": {"targetingKey": user, **context}}
    return api.client.post(f"{EVALUATE}/{flag}", json=body, headers=headers or {})


def ask_all(api, user="u-1", tag=None):
    headers = {} if tag is None else {"if-none-match": tag}
    body = {"context": {"targetingKey": user}}
    return api.client.post(EVALUATE, json=body, headers=headers)


def track(api, event, user="u-1", **details):
    body = {"event": event, "context": {"targetingKey": user}, "details": details}
    return api.client.post("/ofrep/v1/track", json=body)


def failed(answer):
    return answer.status_code, answer.json()["errorCode"]


def test_a_flag_is_the_creative_and_its_parts(api):
    name = api.placement("flag")
    found = ask(api, name, device="phone").json()
    assert set(found) == {"key", "value", "variant", "reason", "metadata"}
    assert (found["key"], found["reason"]) == (name, "SPLIT")
    assert found["value"] == {"headline": f"Text of {found['variant']}"}
    decision = api.decision(found["metadata"]["eventId"])
    assert decision.action.id == found["variant"]
    assert decision.deferred
    assert decision.propensity == found["metadata"]["propensity"]
    assert decision.policy_version == found["metadata"]["policyVersion"]
    assert bytes(decision.context) == b'{"device":"phone"}', "who asked is not in the log"


def test_the_value_may_be_one_part(api):
    name = api.placement("part", flag={"part": "headline"})
    found = ask(api, name).json()
    assert found["value"] == f"Text of {found['variant']}"
    other = api.placement("lacking", flag={"part": "picture"})
    answer = ask(api, other)
    assert failed(answer) == (400, "GENERAL")
    assert "has no part 'picture'" in answer.json()["errorDetails"]


def test_a_certain_propensity_is_sent_as_a_float(api):
    name = api.placement("certain", ["only"])
    answer = ask(api, name)
    assert '"propensity":1.0' in answer.text


def test_a_user_keeps_a_creative_on_every_replica(replicas):
    name = replicas[0].placement("sticky", policy={"name": "uniform"})
    wait_until(lambda: ask(replicas[1], name, "first").is_success)
    users = [f"user-{number}" for number in range(12)]
    seen = {user: ask(replicas[number % 2], name, user).json() for number, user in enumerate(users)}
    for api in replicas:
        assert {user: ask(api, name, user).json() for user in users} == seen
    assert len({found["variant"] for found in seen.values()}) > 1, "but users differ"
    decided = {d.event_id for d in api.logged(DECISIONS) if d.placement == name}
    assert {found["metadata"]["eventId"] for found in seen.values()} <= decided
    assert len(decided) == len(users) + 1


def test_many_requests_of_one_user_at_once_decide_once(api):
    name = api.placement("at-once", policy={"name": "uniform"})
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ask(api, name, "hasty").json(), range(24)))
    assert len({each["metadata"]["eventId"] for each in found}) == 1


def test_a_creative_that_is_switched_off_is_kept_by_nobody(replicas):
    one, other = replicas
    name = one.placement("switched", policy={"name": "uniform"})
    first = ask(one, name, "loyal").json()
    path = f"/v1/placements/{name}/creatives/{first['variant']}"
    one.client.patch(path, json={"status": "paused"}).raise_for_status()
    then = ask(one, name, "loyal").json()
    assert then["variant"] != first["variant"]
    wait_until(lambda: ask(other, name, "loyal").json() == then)
    one.client.patch(path, json={"status": "live"}).raise_for_status()
    assert ask(one, name, "loyal").json() == then


def test_after_the_window_it_is_decided_anew():
    clock = [1_000_000]
    with running(MemoryLog(), clock_ms=lambda: clock[0]) as api:
        name = api.placement("window", flag={"sticky_seconds": 60}, policy={"name": "uniform"})
        first = ask(api, name).json()["metadata"]["eventId"]
        clock[0] += 59_999
        assert ask(api, name).json()["metadata"]["eventId"] == first
        clock[0] += 1
        assert ask(api, name).json()["metadata"]["eventId"] != first


def test_nobody_keeps_a_creative_beyond_what_may_count(api):
    body = {"flag": {"sticky_seconds": 601}, "reward": {"window_seconds": 600}}
    answer = api.client.put("/v1/placements/too-long", json=body)
    assert answer.status_code == 422
    assert "sticky_seconds" in answer.json()["error"]["message"]


def test_a_restart_forgets_nobody(tmp_path):
    log = MemoryLog()
    with running(log) as api:
        name = api.placement("restart", policy={"name": "uniform"})
        before = [ask(api, name, f"u{number}").json() for number in range(8)]
    with running(log) as api:
        assert [ask(api, name, f"u{number}").json() for number in range(8)] == before


def test_who_a_user_is_does_not_get_into_the_log(api):
    name = api.placement("private")
    ask(api, name, "jane@example.org")
    for topic in (ASSIGNMENTS, DECISIONS):
        assert not any(b"jane" in r.key + r.value for r in api.records(topic))


@pytest.fixture(scope="module")
def few():
    with running(MemoryLog()) as api:
        for name in ("one", "two"):
            api.placement(name, policy={"name": "uniform"})
        api.placement("three", flag={"part": "picture"})
        api.placement("bare", [])
        yield api


class TestBulk:
    def test_all_flags_come_at_once(self, few):
        answer = ask_all(few)
        assert answer.status_code == 200
        flags = {flag["key"]: flag for flag in answer.json()["flags"]}
        assert set(flags) == {"one", "two", "three"}, "one without a creative is none"
        assert flags["three"]["errorCode"] == "GENERAL"
        assert flags["one"] == ask(few, "one").json()

    def test_it_is_not_sent_again_unless_something_changed(self, few):
        tag = ask_all(few, "known").headers["etag"]
        assert ask_all(few, "known", tag).status_code == 304
        assert ask_all(few, "known", f"W/{tag}").status_code == 304
        assert ask_all(few, "known", '"other"').status_code == 200
        assert ask_all(few, "somebody", tag).status_code == 200
        path = f"/v1/placements/one/creatives/{ask(few, 'one', 'known').json()['variant']}"
        few.client.patch(path, json={"status": "paused"}).raise_for_status()
        changed = ask_all(few, "known", tag)
        assert (changed.status_code, changed.headers["etag"] == tag) == (200, False)
        few.client.patch(path, json={"status": "live"}).raise_for_status()


class TestTrack:
    def kinds(self, api, found):
        return [o.kind for o in api.outcomes(found["metadata"]["eventId"])]

    def test_an_exposure_makes_the_decision_count(self, api):
        name = api.placement("exposed")
        found = ask(api, name).json()
        event_id = found["metadata"]["eventId"]
        answer = track(api, "exposure", flag=name).json()
        assert answer == {"tracked": 1, "eventIds": {name: event_id}}
        assert self.kinds(api, found) == ["activation"]

    def test_what_a_user_does_with_a_flag_says_that_it_was_seen(self, api):
        name = api.placement("done")
        found = ask(api, name, "doer").json()
        assert track(api, "click", "doer", flag=name, outcomeId="c-1").status_code == 202
        assert self.kinds(api, found) == ["activation", "click"]
        click = api.outcomes(found["metadata"]["eventId"])[1]
        assert (click.outcome_id, click.value) == ("c-1", 1)

    def test_an_event_of_no_flag_goes_to_all_and_activates_none(self, api):
        selling = {"kinds": {"sale": {"weight": 0.01}}}
        names = [api.placement(name, reward=selling) for name in ("all-1", "all-2")]
        ask(api, api.placement("no-shop"), "buyer")
        found = [ask(api, name, "buyer").json() for name in names]
        event_ids = {each["key"]: each["metadata"]["eventId"] for each in found}
        answer = track(api, "sale", "buyer", value=9.5).json()
        assert answer == {"tracked": 2, "eventIds": event_ids}
        for each in found:
            (outcome,) = api.outcomes(each["metadata"]["eventId"])
            assert (outcome.kind, outcome.value) == ("sale", 9.5)
        assert track(api, "sale", "stranger").json() == {"tracked": 0, "eventIds": {}}
        # The name is wrong wherever it goes.
        assert failed(track(api, "sael", "buyer")) == (422, "GENERAL")
        assert failed(track(api, "sale", "buyer", flag="no-shop")) == (422, "GENERAL")

    def test_an_event_may_be_of_an_evaluation_that_is_over(self, api):
        name = api.placement("over")
        event_id = ask(api, name, "late").json()["metadata"]["eventId"]
        answer = track(api, "click", "another", flag=name, eventId=event_id)
        assert answer.json()["eventIds"] == {name: event_id}
        assert [o.kind for o in api.outcomes(event_id)] == ["activation", "click"]

    def test_what_cannot_be_tracked_is_refused(self, api):
        name = api.placement("untracked")
        assert failed(track(api, "click", "new", flag=name)) == (404, "FLAG_NOT_FOUND")
        assert failed(track(api, "click", flag="nowhere")) == (404, "FLAG_NOT_FOUND")
        assert failed(track(api, "click", eventId="e")) == (400, "GENERAL")
        ask(api, name, "greedy")
        assert failed(track(api, "reward", "greedy", flag=name, value=7)) == (422, "GENERAL")
        assert failed(track(api, "", flag=name)) == (400, "PARSE_ERROR")
        assert failed(track(api, "click", flag=name, eventId="")) == (400, "PARSE_ERROR")
        assert failed(track(api, "click", flag=name, outcomeId="x" * 257)) == (400, "PARSE_ERROR")


class TestShownAgain:
    """A provider shows what it kept from a visit whose reward window is over by now."""

    WINDOW_MS = 60_000

    @pytest.fixture
    def clock(self):
        return [1_700_000_000_000]

    @pytest.fixture
    def visited(self, clock):
        """A placement, and what a user was told a window and a half ago."""
        with running(MemoryLog(), clock_ms=lambda: clock[0]) as api:
            reward = {"window_seconds": self.WINDOW_MS / 1e3}
            name = api.placement("again", reward=reward, policy={"name": "uniform"})
            found = ask(api, name).json()
            clock[0] += self.WINDOW_MS * 3 // 2
            yield api, name, found

    def expose(self, visited, **details):
        api, name, found = visited
        details = {"variant": found["variant"], **details}
        return track(api, "exposure", flag=name, eventId=found["metadata"]["eventId"], **details)

    def test_it_counts_as_a_decision_that_nothing_learns_from(self, visited, clock):
        api, name, found = visited
        answer = self.expose(visited).json()
        assert answer["tracked"] == 1
        event_id = answer["eventIds"][name]
        assert event_id != found["metadata"]["eventId"]
        decision = api.decision(event_id)
        assert (decision.action.id, decision.propensity) == (found["variant"], 1.0)
        assert (decision.fallback, decision.deferred) == (True, False)
        assert decision.timestamp_ms == clock[0]
        assert api.outcomes(found["metadata"]["eventId"]) == []
        track(api, "click", flag=name, eventId=event_id).raise_for_status()
        assert "click" in [o.kind for o in api.outcomes(event_id)]
        assert audit(api.log).clean

    def test_each_window_has_one(self, visited, clock):
        _, name, _ = visited
        first = self.expose(visited).json()["eventIds"][name]
        clock[0] += self.WINDOW_MS // 2 - 1
        assert self.expose(visited).json()["eventIds"][name] == first
        clock[0] += 1
        assert self.expose(visited).json()["eventIds"][name] != first

    def test_before_the_window_ends_it_is_the_decision_itself(self, visited, clock):
        _, name, found = visited
        clock[0] -= self.WINDOW_MS
        assert self.expose(visited).json()["eventIds"] == {name: found["metadata"]["eventId"]}

    @pytest.mark.parametrize("variant", [None, "no-such"])
    def test_the_creative_has_to_be_named_and_live(self, visited, variant):
        answer = self.expose(visited, variant=variant)
        assert failed(answer) == (400, "GENERAL")
        assert "is over" in answer.json()["errorDetails"]
        assert len(visited[0].logged(DECISIONS)) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "PARSE_ERROR"),
        (b"{", "PARSE_ERROR"),
        (b"\xff", "PARSE_ERROR"),
        (b"[]", "INVALID_CONTEXT"),
        (b"{}", "INVALID_CONTEXT"),
        (b'{"context": []}', "INVALID_CONTEXT"),
        (b'{"context": null}', "INVALID_CONTEXT"),
        (b'{"context": {}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": 7}}', "TARGETING_KEY_MISSING"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(api, body, code):
    name = api.placement("strict")
    for path in (f"{EVALUATE}/{name}", EVALUATE):
        answer = api.client.post(path, content=body)
        assert failed(answer) == (400, code)
        assert answer.json().get("key") == (name if path.endswith(name) else None)


def test_a_flag_that_is_not_there_is_not_found(api):
    answer = ask(api, "no/such/flag")
    assert failed(answer) == (404, "FLAG_NOT_FOUND")
    assert answer.json()["key"] == "no/such/flag"
    bare = api.placement("barest", [])
    assert failed(ask(api, bare)) == (400, "GENERAL")


def test_a_context_that_the_policy_cannot_read_is_refused(api):
    name = api.placement("reading", policy={"name": "lin_ts"})
    answer = ask(api, name, "odd", size=[[1, 2]])
    assert answer.is_success or failed(answer) == (400, "INVALID_CONTEXT")


def test_a_log_that_takes_nothing_is_a_passing_failure(tmp_path):
    log = SqliteLog(tmp_path / "log.db", patience_seconds=0.1)
    with running(log, Settings()) as api:
        name = api.placement("away")
        ask(api, name, "before").raise_for_status()
        lock = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        answer = ask(api, name, "during")
        kept = ask(api, name, "before")
        lock.execute("ROLLBACK")
        lock.close()
        assert failed(answer) == (503, "GENERAL")
        assert answer.headers["retry-after"]
        assert kept.is_success, "who has a creative is told it without the log"
        assert ask(api, name, "during").is_success
    log.close()
