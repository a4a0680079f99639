"""Which questions are asked at once, which in the thread of policies, and which are refused."""

import asyncio
import json
import threading

import pytest
from msgspec import Raw

from bandit.errors import RequestError
from bandit.policies import open_policy
from bandit.policy import steps_of
from bandit.service.choosing import asking as module
from bandit.service.choosing.asking import (
    MAX_ACTION_FEATURES,
    MAX_CONTEXT_FEATURES,
    MAX_STEPS,
    PolicyThread,
    QuestionSize,
    ask_here,
    check_steps,
    is_known_quick,
    question_size,
)
from bandit.service.choosing.candidates import CandidateSet
from streams.events import EMPTY, Action
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import code_of, running
from tests.bandit.service.doors import IDS, Native, OpenFeature, Personalizer

SMALL = QuestionSize(3, 0, 3)
CROSSING = {"name": "vw", "args": "--cb_explore_adf --epsilon 0.2 -q ::"}


def offered(*names):
    return CandidateSet("p", tuple(Action(name) for name in names), {})


def numbers(n):
    return {f"f{number}": number for number in range(n)}


class Asked:
    """A question that says in which thread it was answered, and may be slow."""

    def __init__(self, *, wait=None):
        self.threads, self.checked, self._wait = [], 0, wait

    def check(self):
        self.checked += 1

    def __call__(self):
        if self._wait is not None:
            self._wait.wait(10)
        self.threads.append(threading.current_thread().name.split("_")[0])
        return len(self.threads)


async def asking(thread, offer, policy, size, asked):
    """Asks as a decision does."""
    if is_known_quick(offer, policy, size):
        return ask_here(offer, asked)
    return await thread.answer(offer, policy, size, asked.check, asked)


def test_a_policy_that_answered_quickly_is_asked_at_once_about_no_more_than_that():
    thread, offer, policy, asked = PolicyThread(10.0), offered(*IDS), object(), Asked()

    def ask(size, of=policy):
        return asking(thread, offer, of, size, asked)

    async def use():
        return [
            await ask(SMALL),
            await ask(SMALL),
            await ask(SMALL._replace(context=4)),
            await ask(SMALL._replace(context=4)),
            await ask(SMALL, object()),
        ]

    assert asyncio.run(use()) == [1, 2, 3, 4, 5]
    assert asked.threads == ["policy", "MainThread", "policy", "MainThread", "policy"]
    assert asked.checked == 3, "what is known to be quick is not looked at again"


@pytest.mark.parametrize("size", [QuestionSize(1001, 0, 1), QuestionSize(1, 1001, 1),
                                  QuestionSize(400, 0, 10)])  # fmt: skip
def test_what_might_be_slow_never_is(size):
    thread, offer, policy, asked = PolicyThread(10.0), offered(*IDS), object(), Asked()

    async def use():
        for _ in range(3):
            await asking(thread, offer, policy, size, asked)

    asyncio.run(use())
    assert asked.threads == ["policy"] * 3


def test_while_one_is_under_way_the_next_waits_in_the_thread_and_no_longer_than_the_budget():
    thread, offer, policy, free = PolicyThread(0.02), offered(*IDS), object(), threading.Event()
    quick, slow = Asked(), Asked(wait=free)
    larger = SMALL._replace(context=9)

    async def use():
        assert await asking(thread, offer, policy, SMALL, quick) == 1
        assert await asking(thread, offer, policy, larger, slow) is None
        assert await asking(thread, offer, policy, SMALL, quick) is None, "not here"
        free.set()
        while offer.asked != offer.answered:
            await asyncio.sleep(0.001)
        assert await asking(thread, offer, policy, SMALL, quick) == 2

    asyncio.run(use())
    assert quick.threads == ["policy", "MainThread"]


def test_who_can_wait_is_answered_beyond_the_budget_and_may_give_up():
    thread, offer, policy, free = PolicyThread(0.01), offered(*IDS), object(), threading.Event()
    slow, dropped = Asked(wait=free), Asked()

    async def use():
        waiting = asyncio.ensure_future(thread.wait(offer, policy, SMALL, slow.check, slow))
        behind = asyncio.ensure_future(thread.wait(offer, policy, SMALL, dropped.check, dropped))
        await asyncio.sleep(0.05)
        behind.cancel()
        await asyncio.sleep(0.01)
        free.set()
        assert await waiting == 1
        await asyncio.sleep(0)
        assert offer.asked == offer.answered == 1

    asyncio.run(use())
    assert dropped.threads == []


def test_a_policy_that_became_slow_is_asked_in_the_thread_again(monkeypatch):
    thread, offer, policy, asked = PolicyThread(10.0), offered(*IDS), object(), Asked()

    async def use():
        await asking(thread, offer, policy, SMALL, asked)
        monkeypatch.setattr(module, "QUICK_SECONDS", -1.0)
        for _ in range(3):
            await asking(thread, offer, policy, SMALL, asked)

    asyncio.run(use())
    assert asked.threads == ["policy", "MainThread", "policy", "policy"]


def test_a_question_has_so_many_values_and_scores():
    context = Raw(b'{"a":[1,2,3],"b":"1,2"}')
    brought = (Action("x", Raw(b'{"n":[1,2]}')), Action("y", EMPTY))
    candidates = CandidateSet("p", brought, {})
    size = question_size([context, EMPTY], brought, candidates, 4)
    assert size.context >= 4
    assert size.brought >= 5
    assert size.scores == 4
    assert question_size([context], None, candidates, 2).brought == 0


@pytest.mark.parametrize(
    ("args", "steps"),
    [
        ("", 8 * 9),
        ("-q uc", 8 * 9 + 4 * 2),
        ("--quadratic=::", 8 * 9 + 81),
        ("--cubic uci", 8 * 9 + 4 * 2 * 1),
        ("--interactions ui -q ci", 8 * 9 + 4 + 2),
    ],
)
def test_the_steps_of_a_policy_are_its_features_and_their_products(args, steps):
    policy = open_policy({"name": "vw", "args": f"--cb_explore_adf --epsilon 0.2 {args}"})
    context = Raw(b'{"user":{"a":1,"b":2,"c":3},"hour":1,"day":2}')
    # user has three and its object, context two; the action has an id, and an array of one.
    assert steps_of(policy, context, [Action("x", Raw(b'{"words":["t"]}'))]) == steps
    wrapped = open_policy({"name": "floor", "epsilon": 0.1, "policy": policy.spec})
    assert steps_of(wrapped, context, [Action("x", Raw(b'{"words":["t"]}'))]) == steps
    assert steps_of(open_policy({"name": "lin_ts"}), context, [Action("x")]) == 0


def test_a_placement_does_not_pay_for_what_its_own_creatives_cost():
    policy = open_policy(CROSSING)
    large = Raw(b'{"n":[' + b"1," * 3000 + b"1]}")
    own = [Action(name, large) for name in IDS]
    check_steps(policy, EMPTY, None, own)
    with pytest.raises(RequestError, match=str(MAX_STEPS)) as raised:
        check_steps(policy, EMPTY, own, own)
    assert raised.value.code == "question_too_costly"


@pytest.fixture(scope="module")
def api():
    with running(MemoryLog()) as api:
        api.placement("p", IDS, policy=CROSSING, learn="window")
        api.placement("free", IDS)
        yield api


DOORS = pytest.mark.parametrize(
    "door", [Native(), Personalizer(), OpenFeature()], ids=lambda door: door.name
)


@DOORS
@pytest.mark.parametrize("name", ["p", "free"])
def test_a_context_of_too_many_features_is_refused_at_every_door(api, door, name):
    asked = door.decide(api, name, numbers(MAX_CONTEXT_FEATURES + 1))
    assert door.code(asked.response) == "too_many_features"
    assert 400 <= asked.response.status_code < 500
    if name == "free":
        assert door.decide(api, name, numbers(MAX_CONTEXT_FEATURES - 10)).shown


@DOORS
def test_a_question_that_would_take_too_many_steps_is_refused_at_every_door(api, door):
    assert door.code(door.decide(api, "p", numbers(3000)).response) == "question_too_costly"
    assert door.decide(api, "p", numbers(500)).shown


def test_an_action_of_too_many_features_is_refused(api):
    features = numbers(MAX_ACTION_FEATURES + 1)
    actions = [{"id": "a", "features": {}}, {"id": "b", "features": features}]
    answer = api.rank("free", actions=actions)
    assert code_of(answer) == (422, "too_many_features")
    assert answer.json()["error"]["target"] == "actions[1].features"


def test_slots_whose_pmfs_would_be_too_long_are_refused(api):
    before = len(list(api.records("decisions")))
    actions = [{"id": f"a{n}", "features": {"t": "t" * 200}} for n in range(400)]
    slots = [{"id": f"s{n}"} for n in range(40)]
    assert code_of(api.rank("free", actions=actions, slots=slots)) == (422, "decisions_too_large")
    assert len(list(api.records("decisions"))) == before
    assert api.rank("free", actions=actions, slots=slots[:3]).status_code == 200
    assert api.rank("free", actions=actions).status_code == 200


def test_slots_have_their_actions_in_the_log_once(api):
    actions = [{"id": f"a{n}", "features": {"t": "t" * 2000}} for n in range(40)]
    slots = [{"id": f"s{n}"} for n in range(40)]
    body = len(json.dumps({"actions": actions, "slots": slots}))
    event_id = api.rank("free", actions=actions, slots=slots).json()["event_id"]
    (record,) = [r for r in api.records("decisions") if r.key == event_id.encode()]
    assert len(record.value) < 1.2 * body


def test_a_context_that_would_be_repeated_for_too_many_flags_is_refused():
    with running(MemoryLog()) as api:
        for n in range(6):
            api.placement(f"p{n}", IDS)
        body = {"context": {"targetingKey": "u", "text": "t" * 60_000}}
        answer = api.client.post("/ofrep/v1/evaluate/flags", json=body)
        assert answer.status_code == 422
        assert "decisions_too_large" in answer.json()["errorDetails"]
        assert list(api.records("decisions")) == []
        one = api.client.post("/ofrep/v1/evaluate/flags/p0", json=body)
        assert one.status_code == 200


def test_the_preview_of_a_policy_is_asked_in_the_same_way(api):
    context = "{" + ",".join(f'"f{n}":{n}' for n in range(300)) + "}"
    answer = api.client.get("/v1/placements/free/policy", params={"context": context})
    assert answer.status_code == 200
    assert sum(one["propensity"] for one in answer.json()["pmf"]) == pytest.approx(1)
