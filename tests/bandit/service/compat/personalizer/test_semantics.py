"""When a reward counts: through the real processes, from a client's request to the interaction."""

import time
from contextlib import ExitStack
from itertools import chain

import httpx
import pytest

from streams.events import DEAD_LETTER, INTERACTIONS, interactions_in
from streams.fold import scan_topic
from streams.logs.opening import open_log

WAIT_SECONDS = 5
PATIENCE_SECONDS = 60
ACTIONS = [{"id": each, "features": [{"kind": each}]} for each in "abc"]
SLOTS = [{"id": "top", "baselineAction": "a"}, {"id": "side", "baselineAction": "b"}]
CONFIGURATION = {
    "rewardWaitTime": f"PT{WAIT_SECONDS}S",
    "defaultReward": -0.25,
    "rewardAggregation": "earliest",
    "explorationPercentage": 0.5,
    "modelExportFrequency": "PT5M",
    "logRetentionDays": -1,
}


class Loop:
    def __init__(self, endpoint, placement):
        self.client = httpx.Client(
            base_url=f"{endpoint}/placements/{placement}/personalizer/v1.1-preview.3", timeout=30
        )

    def put(self, path, **body):
        self.client.put(path, json=body).raise_for_status()

    def rank(self, event_id, **body):
        body = {"eventId": event_id, "actions": ACTIONS, **body}
        path = "/multislot/rank" if "slots" in body else "/rank"
        return self.client.post(path, json=body).raise_for_status().json()

    def reward(self, event_id, *values, request_id=None):
        headers = {"x-ms-client-request-id": request_id} if request_id else {}
        for value in values:
            path, body = f"/events/{event_id}/reward", {"value": value}
            assert self.client.post(path, json=body, headers=headers).status_code == 204

    def activate(self, event_id, path="/events"):
        assert self.client.post(f"{path}/{event_id}/activate").status_code == 204


def records(folder, topic):
    log = open_log(f"sqlite:///{folder}/log.db")
    found = list(scan_topic(log, topic))
    log.close()
    return found


def closed(folder, prefix):
    """What each event that begins so came to, by its id and the slot's context."""
    found = {}
    told = (interactions_in(record.value) for record in records(folder, INTERACTIONS))
    for interaction in chain.from_iterable(told):
        if interaction.status == "closed" and interaction.decision.event_id.startswith(prefix):
            found[interaction.decision.event_id, interaction.decision.slot] = interaction
    return found


@pytest.fixture(scope="module")
def loop_of(endpoint):
    with ExitStack() as open_clients:

        def loop_of(placement):
            loop = Loop(endpoint, placement)
            open_clients.enter_context(loop.client)
            return loop

        yield loop_of


@pytest.fixture(scope="module")
def history(loop_of, folder):
    """Everything that is told apart below happens at once, and is waited for once."""
    loop, summed = loop_of("semantics"), loop_of("summed")
    loop.put("/configurations/service", **CONFIGURATION)
    summed.put("/configurations/service", **CONFIGURATION | {"rewardAggregation": "sum"})

    loop.rank("s-late")
    loop.rank("s-rewarded")
    loop.reward("s-rewarded", 1.0)
    loop.rank("s-silent")
    loop.rank("s-several")
    loop.reward("s-several", 0.25, 0.75)
    loop.rank("s-never-activated", deferActivation=True)
    loop.reward("s-never-activated", 1.0)
    loop.rank("s-activated", deferActivation=True)
    loop.activate("s-activated")
    loop.rank("s-activated-rewarded", deferActivation=True)
    loop.reward("s-activated-rewarded", 1.0)
    loop.activate("s-activated-rewarded")
    summed.rank("s-summed")
    summed.reward("s-summed", 0.75, 0.75)
    summed.rank("s-retried")
    summed.reward("s-retried", 0.5, 0.5, request_id="0a1b2c3d-once")

    loop.rank("s-slots", slots=SLOTS)
    reward = {"reward": [{"slotId": "side", "value": 1.0}]}
    loop.client.post("/multislot/events/s-slots/reward", json=reward).raise_for_status()
    loop.rank("s-slots-deferred", slots=SLOTS, deferActivation=True)
    loop.activate("s-slots-deferred", "/multislot/events")
    loop.rank("s-slots-never", slots=SLOTS, deferActivation=True)

    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(found := closed(folder, "s-")) < 12:
        assert time.monotonic() < deadline, sorted(found)
        time.sleep(0.2)
    loop.reward("s-late", 1.0)
    while not any(b"s-late" in bytes(r.value) for r in records(folder, DEAD_LETTER)):
        assert time.monotonic() < deadline, "the late reward was not laid aside"
        time.sleep(0.2)
    return closed(folder, "s-")


def rewards(history, event_id):
    return [history[key].reward for key in sorted(history) if key[0] == event_id]


@pytest.mark.parametrize(
    ("event_id", "reward"),
    [
        ("s-rewarded", 1.0),
        ("s-silent", -0.25),
        ("s-several", 0.25),
        ("s-activated", -0.25),
        ("s-activated-rewarded", 1.0),
        ("s-summed", 1.5),
        ("s-retried", 0.5),
        ("s-late", -0.25),
    ],
)
def test_an_event_comes_to(history, event_id, reward):
    assert rewards(history, event_id) == [reward]


@pytest.mark.parametrize("event_id", ["s-never-activated", "s-slots-never"])
def test_what_is_never_activated_is_not_learned(history, event_id):
    assert rewards(history, event_id) == []


def test_each_slot_has_its_own_reward(history):
    by_slot = {}
    for (event_id, _), interaction in history.items():
        if event_id == "s-slots":
            context = bytes(interaction.decision.context)
            by_slot["top" if b'"top"' in context else "side"] = interaction.reward
    assert by_slot == {"top": -0.25, "side": 1.0}


def test_an_activation_reaches_all_slots(history):
    assert rewards(history, "s-slots-deferred") == [-0.25, -0.25]


def test_late_rewards_are_kept_where_they_can_be_seen(history, folder):
    late = [r for r in records(folder, DEAD_LETTER) if b"s-late" in bytes(r.value)]
    reasons = {value for record in late for name, value in record.headers if name == "reason"}
    assert reasons == {b"late"}


def test_an_apprentice_shows_the_first_action_and_each_slots_baseline(loop_of):
    loop = loop_of("apprentice")
    loop.put("/configurations/service", **CONFIGURATION | {"learningMode": "Apprentice"})
    for number in range(10):
        assert loop.rank(f"ap-{number}")["rewardActionId"] == "a"
        assert loop.rank(f"ap-x{number}", excludedActions=["a"])["rewardActionId"] == "b"
        slots = [{"id": "top", "baselineAction": "c"}, {"id": "side", "baselineAction": "a"}]
        shown = loop.rank(f"ap-s{number}", slots=slots)["slots"]
        assert [slot["rewardActionId"] for slot in shown] == ["c", "a"]


def test_an_event_id_draws_the_same_again(loop_of):
    loop = loop_of("again")
    loop.put("/configurations/service", **CONFIGURATION)
    assert loop.rank("again-1") == loop.rank("again-1")


def test_exploration_is_what_the_configuration_says(loop_of):
    loop = loop_of("exploring")
    loop.put("/configurations/service", **CONFIGURATION | {"explorationPercentage": 1.0})
    ranking = loop.rank("exploring-1")["ranking"]
    assert [one["probability"] for one in ranking] == pytest.approx([1 / 3] * 3)
