"""What holds whichever protocol asks for a decision, or tells what came of one."""

import sqlite3
import threading
from collections import Counter
from contextlib import closing, contextmanager

import pytest

from bandit.client import Client
from bandit.policies import open_policy
from bandit.policies.linear.policies import LinTs
from bandit.policy import sample, sample_seed
from bandit.service.settings import Secret, Settings
from bandit.verification import audit
from streams.events import DECISIONS, OUTCOMES
from streams.events.placement import Shown
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.spool import Spool
from tests.bandit.service.api_server import code_of, running, wait_until
from tests.bandit.service.doors import DECIDING, IDS, REWARDING, TRACE, decisions
from tests.bandit.service.gated_log import GatedLog
from tests.bandit.service.test_api_operations import sample as counted

SECRETS = {
    "private_salt": Secret("salt " * 8),
    "reward_secret": Secret("s" * 32),
}
GREEDY = {"name": "epsilon_greedy", "epsilon": 0.5}


def named(doors):
    return pytest.mark.parametrize("door", doors, ids=lambda door: door.name)


every_door = named(DECIDING)
slotted_door = named([door for door in DECIDING if door.slots])
rewarding_door = named(REWARDING)


@pytest.fixture(scope="module")
def api():
    with running(MemoryLog(), Settings(**SECRETS)) as api:
        yield api


@pytest.fixture
def placement(api, request, door):
    """Makes a placement of the test's own."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return lambda **body: api.placement(name, **body)


class TestDecisions:
    @every_door
    def test_what_is_answered_is_logged_and_verifies(self, api, door, placement):
        name = placement(policy=GREEDY)
        asked = door.decide(api, name, {"device": "phone"}, headers={"traceparent": TRACE})
        (decision,) = decisions(api, name)
        assert (decision.event_id, decision.action.id) == (asked.event_id, *asked.shown)
        assert [action.id for action in decision.actions] == list(IDS)
        assert sum(decision.pmf) == pytest.approx(1.0)
        assert decision.index == sample(decision.pmf, sample_seed(decision.event_id))
        version = api.client.get(f"/v1/placements/{name}/policy").json()["version"]
        assert decision.policy_version == version
        assert b"phone" in bytes(decision.context)
        assert decision.traceparent == TRACE
        (record,) = [r for r in api.records(DECISIONS) if r.key == asked.event_id.encode()]
        assert record.headers == (("traceparent", TRACE.encode()),)

    @every_door
    def test_it_can_be_derived_again(self, door):
        log = MemoryLog()
        with running(log) as api:
            name = api.placement("p", policy={"name": "lin_ts"}, learn="window")
            for number in range(5):
                door.decide(api, name, {"hour": number})
            if door.slots:
                door.decide(api, name, {"hour": 9}, slots=door.slots)
        report = audit(log)
        assert report.clean, report.summary()
        assert report.decisions == (7 if door.slots else 5)

    @every_door
    def test_it_is_counted_by_creative_and_where_it_explores(self, api, door, placement):
        name = placement(policy=GREEDY)
        door.decide(api, name)
        learned = open_policy(GREEDY)
        for _ in range(20):
            learned.learn(decisions(api, name)[0], 1.0)
        api.publish(name, learned)
        for _ in range(29):
            door.decide(api, name)
        made = decisions(api, name)
        assert counted(api, "copyloop_decisions_total", placement=name) == len(made) == 30
        for creative, times in Counter(one.action.id for one in made).items():
            labels = {"placement": name, "creative": creative}
            assert counted(api, "copyloop_creative_decisions_total", **labels) == times
        explored = sum(one.propensity < max(one.pmf) for one in made)
        assert 0 < explored < 30
        assert counted(api, "copyloop_explored_decisions_total", placement=name) == explored

    @every_door
    def test_every_action_gets_its_share(self, api, door, placement):
        name = placement(policy={"name": "uniform"})
        for _ in range(40):
            door.decide(api, name)
        assert {one.action.id for one in decisions(api, name)} == set(IDS)

    @every_door
    def test_what_is_capped_has_no_share(self, api, door, placement):
        name = placement(caps={"total": 2})
        api.publish(name, open_policy({"name": "thompson"}), a=Shown(2, 0, 0), b=Shown(1, 0, 0))
        door.decide(api, name)
        (decision,) = decisions(api, name)
        assert [action.id for action in decision.actions] == ["b", "c"]
        assert sum(decision.pmf) == pytest.approx(1.0)
        worn_out = {"a": Shown(2, 0, 0), "b": Shown(2, 0, 0), "c": Shown(9, 0, 0)}
        api.publish(name, open_policy({"name": "thompson"}), **worn_out)
        worn = door.decide(api, name)
        assert door.code(worn.response) == "all_creatives_capped"
        assert len(decisions(api, name)) == 1

    @every_door
    def test_private_fields_are_hashed_before_anything_sees_them(self, api, door, placement):
        name = placement(protection={"private": [door.private]})
        for user in ("ada@example.org", "ada@example.org", "bob@example.org"):
            door.decide(api, name, {"user": user, "hour": 3})
        if door.slots:
            door.decide(api, name, {"user": "ada@example.org", "hour": 3}, slots=door.slots)
        contexts = [bytes(one.context) for one in decisions(api, name)]
        assert not any(b"ada@" in context or b"bob@" in context for context in contexts)
        assert all(b"hidden:" in context and b'"hour":3' in context for context in contexts)
        assert contexts[0] == contexts[1] != contexts[2]

    @every_door
    def test_event_ids_are_signed_where_the_placement_wants_it(self, api, door, placement):
        name = placement(protection={"signed_rewards": True})
        event_id = door.decide(api, name).event_id
        assert decisions(api, name)[0].event_id == event_id
        assert door.reward(api, name, event_id, 1.0).is_success
        if door.named_events:
            chosen = door.decide(api, name, event_id="mine")
            assert chosen.response.status_code == 403
            assert door.code(chosen.response) == "event_id_unsigned"
            assert door.decide(api, name, event_id=event_id).event_id == event_id

    @slotted_door
    def test_slots_are_decisions_of_their_own(self, api, door, placement):
        name = placement(policy=GREEDY)
        asked = door.decide(api, name, {"hour": 9}, slots=door.slots)
        made = decisions(api, name)
        assert {one.event_id for one in made} == {asked.event_id}
        assert tuple(one.action.id for one in made) == asked.shown
        assert len(set(asked.shown)) == len({one.slot for one in made}) == len(door.slots)
        assert [len(one.actions) for one in made] == [3, 2]
        for one, slot in zip(made, door.slots, strict=True):
            assert one.index == sample(one.pmf, sample_seed(one.event_id, one.slot))
            assert f'"id":"{slot}"'.encode() in bytes(one.context)
        assert counted(api, "copyloop_decisions_total", placement=name) == len(made)
        again = door.decide(api, name, {"hour": 9}, slots=door.slots, event_id=asked.event_id)
        assert again.shown == asked.shown

    @slotted_door
    def test_a_slot_that_may_be_left_without_an_action_is_said(self, api, door, placement):
        name = placement(caps={"total": 1})
        api.publish(name, open_policy({"name": "thompson"}), a=Shown(1, 0, 0), b=Shown(1, 0, 0))
        refused = door.decide(api, name, slots=door.slots)
        assert door.code(refused.response) == "slot_without_actions"
        assert decisions(api, name) == []


@pytest.fixture
def slow(monkeypatch):
    """Has policies that read contexts wait until the event is set."""
    answer = threading.Event()
    ask = LinTs.pmf

    def pmf(self, context, actions):
        assert answer.wait(30)
        return ask(self, context, actions)

    monkeypatch.setattr(LinTs, "pmf", pmf)
    yield answer
    answer.set()


class TestBudget:
    @pytest.fixture(scope="class")
    @classmethod
    def api(cls):
        with running(MemoryLog(), Settings(rank_budget_ms=30)) as api:
            yield api

    @pytest.fixture
    def name(self, placement):
        return placement(policy={"name": "lin_ts"}, learn="window")

    @every_door
    def test_the_first_action_is_shown_and_logged_as_what_it_is(self, api, door, name, slow):
        asked = door.decide(api, name, {"hour": 9})
        assert asked.shown == ("a",)
        (decision,) = decisions(api, name)
        assert (decision.fallback, decision.pmf) == (True, (1.0, 0.0, 0.0))
        assert b'"hour":9' in bytes(decision.context)
        assert counted(api, "copyloop_fallback_decisions_total", placement=name) == 1
        assert counted(api, "copyloop_decisions_total", placement=name) == 1
        slow.set()
        assert audit(api.log).clean

    @slotted_door
    def test_each_slot_gets_the_first_that_is_left_for_it(self, api, door, name, slow):
        assert door.decide(api, name, slots=door.slots).shown == ("a", "b")
        assert [one.fallback for one in decisions(api, name)] == [True, True]
        assert counted(api, "copyloop_fallback_decisions_total", placement=name) == 2

    @every_door
    def test_a_policy_that_is_in_time_is_answered(self, api, door, name):
        wait_until(lambda: door.decide(api, name) and not decisions(api, name)[-1].fallback)

    @every_door
    def test_it_goes_back_to_the_policy_once_that_is_quick_again(self, api, door, name, slow):
        door.decide(api, name)
        slow.set()
        wait_until(lambda: door.decide(api, name) and not decisions(api, name)[-1].fallback)
        assert decisions(api, name)[0].fallback

    def test_the_answer_and_the_client_tell_that_it_was_not_the_policy(self, slow):
        slots = [{"id": "top"}, {"id": "side", "excluded": ["b"]}]
        log = MemoryLog()
        with running(log, Settings(rank_budget_ms=30)) as api, Client(api.url) as client:
            api.placement("p", policy={"name": "lin_ts"}, learn="window")
            answer = api.rank("p", context={"hour": 9}).json()
            assert (answer["fallback"], answer["index"], answer["propensity"]) == (True, 0, 1.0)
            answer = api.rank("p", slots=slots).json()
            shown = [slot["action"]["id"] for slot in answer["slots"]]
            assert (answer["fallback"], shown) == (True, ["a", "c"])
            assert client.rank("p", {"hour": 9}).source == "baseline"
            assert client.rank_slots("p", {"hour": 9}, slots).source == "baseline"
            slow.set()
            assert "policy" in {client.rank("p", {}).source for _ in range(50)}
            refused = api.rank("p", context={"deep": [[None]]})
            assert code_of(refused) == (422, "features_invalid")

    def test_without_a_budget_a_policy_is_waited_for(self, slow):
        with running(MemoryLog()) as api:
            api.placement("p", policy={"name": "lin_ts"}, learn="window")
            threading.Timer(0.2, slow.set).start()
            assert "fallback" not in api.rank("p").json()


class TestFullSpool:
    @contextmanager
    def away(self, folder, **settings):
        """An API whose log is away and whose spool takes a few decisions."""
        log = GatedLog()
        settings = Settings(spool_after_seconds=0.05, **settings)
        with closing(Spool(folder, 6000)) as spool, running(log, settings, spool=spool) as api:
            try:
                name = api.placement("p")
                log.gate.clear()
                yield api, name
            finally:
                log.gate.set()

    def fill_up(self, api, door, name):
        """Asks until an answer is no more logged, or refused; returns that one."""
        for _ in range(200):
            asked = door.decide(api, name)
            unlogged = counted(api, "copyloop_unlogged_decisions_total", placement=name)
            if unlogged or not asked.response.is_success:
                return asked
        raise AssertionError("the spool is never full")

    @every_door
    def test_it_refuses(self, tmp_path, door):
        with self.away(tmp_path) as (api, name):
            refused = self.fill_up(api, door, name)
            assert refused.response.status_code == 503
            assert door.code(refused.response) == "spool_full"

    @every_door
    def test_decisions_go_on_unlogged_where_that_is_wanted(self, tmp_path, door):
        with self.away(tmp_path, spool_full="unlogged") as (api, name):
            unlogged = self.fill_up(api, door, name)
            assert unlogged.response.is_success, unlogged.response.text
            assert unlogged.shown[0] in IDS
            labels = {"placement": name}
            assert counted(api, "copyloop_unlogged_decisions_total", **labels) == 1
            answered = counted(api, "copyloop_decisions_total", **labels)
            refused = door.reward(api, name, unlogged.event_id, 1.0)
            assert refused.status_code == 503
            assert door.code(refused) == "spool_full"
            api.log.gate.set()
            wait_until(lambda: api.client.get("/health").json()["status"] == "ok")
            assert len(decisions(api, name)) == answered - 1
            assert not api.logged(DECISIONS, unlogged.event_id)


class TestOutcomes:
    @rewarding_door
    def test_a_reward_is_logged_and_counted(self, api, door, placement):
        name = placement()
        event_id = door.decide(api, name).event_id
        assert door.reward(api, name, event_id, 0.5, headers={"traceparent": TRACE}).is_success
        outcomes = api.outcomes(event_id)
        (reward,) = [one for one in outcomes if one.kind == "reward"]
        assert (reward.value, reward.traceparent) == (0.5, TRACE)
        assert counted(api, "copyloop_outcomes_total", placement=name) == len(outcomes)
        for record in (r for r in api.records(OUTCOMES) if r.key == event_id.encode()):
            assert record.headers == (("traceparent", TRACE.encode()),)

    @rewarding_door
    def test_the_same_request_again_is_a_duplicate(self, api, door, placement):
        name = placement()
        event_id = door.decide(api, name).event_id
        for _ in range(2):
            assert door.reward(api, name, event_id, 0.5).is_success
        rewards = [one for one in api.outcomes(event_id) if one.kind == "reward"]
        assert len(rewards) == 2
        assert len({one.outcome_id for one in rewards}) == 1

    @rewarding_door
    def test_a_reward_out_of_the_placements_range_is_refused(self, api, door, placement):
        name = placement()
        event_id = door.decide(api, name).event_id
        refused = door.reward(api, name, event_id, -0.5)
        assert door.code(refused) == "reward_out_of_range"
        assert api.outcomes(event_id) == []
        assert counted(api, "copyloop_outcomes_total", placement=name) == 0

    @rewarding_door
    def test_strangers_cannot_say_what_came_of_a_signed_decision(self, api, door, placement):
        name = placement(protection={"signed_rewards": True})
        event_id = door.decide(api, name).event_id
        for wrong in (event_id[:-1], "made-up"):
            refused = door.reward(api, name, wrong, 1.0)
            assert door.code(refused) == "reward_unsigned"
            assert api.outcomes(wrong) == []
        assert door.reward(api, name, event_id, 1.0).is_success

    @rewarding_door
    def test_it_is_answered_once_it_is_durable(self, tmp_path, door):
        log = SqliteLog(tmp_path / "log.db", patience_seconds=0.1)
        with closing(log), running(log) as api:
            name = api.placement("p")
            event_id = door.decide(api, name).event_id
            lock = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
            refused = door.reward(api, name, event_id, 1.0)
            lock.execute("ROLLBACK")
            lock.close()
            assert refused.status_code == 503
            assert door.code(refused) == "log_unavailable"
            assert api.outcomes(event_id) == []

    @rewarding_door
    def test_or_at_once_where_the_settings_say_so(self, door):
        log = GatedLog()
        with running(log, Settings(durability="buffered")) as api:
            name = api.placement("p")
            log.gate.clear()
            event_id = door.decide(api, name).event_id
            assert door.reward(api, name, event_id, 1.0).is_success
            assert api.logged(DECISIONS) == []
            log.gate.set()
            wait_until(lambda: any(one.kind == "reward" for one in api.outcomes(event_id)))
            assert api.decision(event_id)
