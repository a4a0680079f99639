"""A decision among many creatives is one among a few, of which the log can tell how they came."""

import threading
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from bandit.eligibility import WeightedSampler, seed_of
from bandit.policies import load_policy, open_policy
from bandit.policy import sample
from bandit.service.choosing.slots import ShortlistSampler
from bandit.service.settings import Settings
from bandit.verification import audit
from streams.events import (
    CATALOGUE,
    DECISIONS,
    EMPTY,
    POLICIES,
    Action,
    Placement,
    decode,
)
from streams.events.placement import Shortlist
from streams.logs.sqlite import SqliteLog
from tests.bandit.histories import tampered
from tests.bandit.service.api_server import Api, running
from tests.bandit.service.compat.openfeature.test_flags import ask
from tests.bandit.test_forget import fold

MANY = [f"c{number:02}" for number in range(40)]
FEW = {"size": 5, "floor": 0.3}


def ids(decision):
    return [action.id for action in decision.actions]


def test_a_rank_is_answered_from_a_few_and_logged_as_that(api):
    name = api.placement("many", MANY, shortlist=FEW)
    answer = api.rank(name).json()
    decision = api.decision(answer["event_id"])
    assert [entry["id"] for entry in answer["pmf"]] == ids(decision)
    assert len(ids(decision)) == 5
    note = decision.shortlist
    assert (note.size, note.of, note.floor, decision.v) == (5, 40, 0.3, 3)
    assert 0.0 < note.inclusion < 1.0
    again = api.rank(name, event_id=answer["event_id"]).json()
    assert again == answer
    # One of forty is missing from 200 lists of five once in ten billion times, from 60 once in 75.
    seen = {entry["id"] for _ in range(200) for entry in api.rank(name).json()["pmf"]}
    assert seen == set(MANY)


def test_as_few_creatives_as_fit_are_all_chosen_from(api):
    name = api.placement("few", MANY[:5], shortlist=FEW)
    decision = api.decision(api.rank(name).json()["event_id"])
    assert ids(decision) == MANY[:5]
    assert (decision.shortlist, decision.v) == (msgspec.UNSET, 1)


def test_actions_that_the_caller_brings_are_all_chosen_from(api):
    name = api.placement("brought", MANY, shortlist=FEW)
    actions = [{"id": f"own-{number}", "features": {}} for number in range(9)]
    decision = api.decision(api.rank(name, actions=actions).json()["event_id"])
    assert len(ids(decision)) == 9
    assert not decision.shortlist


def test_slots_share_a_shortlist_that_is_long_enough(api):
    name = api.placement("slots", MANY, shortlist=FEW)
    slots = [{"id": "top", "excluded": MANY[:20]}, {"id": "side"}]
    answer = api.rank(name, slots=slots).json()
    top, side = api.logged(DECISIONS, answer["event_id"])
    assert top.shortlist.size == side.shortlist.size == 22
    assert not set(ids(top)) & set(MANY[:20])
    assert set(ids(top)) - {top.action.id} <= set(ids(side))
    assert len(ids(side)) == 21


def test_what_is_capped_is_not_let_in(api):
    name = api.placement("capped", MANY, shortlist=FEW, caps={"per_user": 1})
    seen = dict.fromkeys(MANY[:33], 1)
    for _ in range(20):
        decision = api.decision(api.rank(name, context={"seen": seen}).json()["event_id"])
        assert not set(ids(decision)) & set(seen)
        assert (len(ids(decision)), decision.shortlist.of) == (5, 7)


def test_how_often_it_was_seen_is_told_of_who_is_let_in(api):
    seen = {"feature": True}
    name = api.placement("tired", MANY, shortlist=FEW, seen=seen)
    context = {"seen": dict.fromkeys(MANY, 4)}
    decision = api.decision(api.rank(name, context=context).json()["event_id"])
    assert len(ids(decision)) == 5
    assert all(b'"fatigue":{"seen":0.4}' in bytes(each.features) for each in decision.actions)


def test_a_flag_is_one_of_a_few(api):
    name = api.placement("flagged", MANY, shortlist=FEW)
    found = ask(api, name, user="u-many").json()
    decision = api.decision(found["metadata"]["eventId"])
    assert len(ids(decision)) == 5
    assert decision.shortlist.of == 40


def test_new_placements_have_one_and_others_keep_what_they_have(api):
    first = api.client.put("/v1/placements/new", json={}).json()
    assert first["shortlist"] == {"size": 100, "floor": 0.2}
    url = "/v1/placements/new"
    assert api.client.put(url, json={"shortlist": FEW}).json()["shortlist"] == FEW
    assert api.client.put(url, json={"review": True}).json()["shortlist"] == FEW
    assert (
        api.client.put(url, json={"shortlist": None, "review": False}).json()["shortlist"] is None
    )
    assert api.client.put(url, json={}).json()["shortlist"] is None
    for wrong in ({"size": 1}, {"size": 1001}, {"floor": 0.0}, {"floor": 1.5}):
        assert api.client.put(url, json={"shortlist": wrong}).status_code == 422


def test_what_is_answered_in_place_of_the_policy_is_no_longer(tmp_path, monkeypatch):
    free = threading.Event()
    monkeypatch.setattr("bandit.service.choosing.slots.WeightedSampler", lambda *_: free.wait(30))
    log = SqliteLog(tmp_path / "log.db")
    with running(log, Settings(rank_budget_ms=20)) as api:
        name = api.placement("late", MANY, shortlist=FEW)
        answer = api.rank(name).json()
        free.set()
    assert answer["fallback"]
    decision = Api("", None, log).decision(answer["event_id"])
    assert ids(decision) == MANY[:5]
    assert not decision.shortlist
    log.close()


class Clock:
    """A clock that only its owner moves, and by a second whenever it is read."""

    now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_weights_are_kept_for_twenty_times_as_long_as_it_took_to_find_them():
    clock, asked = Clock(), []
    actions = tuple(Action(name) for name in MANY)

    def pmf_of(_, shown):
        asked.append(len(shown))
        return np.full(len(shown), 1 / len(shown))

    draws = ShortlistSampler(Shortlist(size=5), actions, 7, clock)
    # The first takes a second, and is asked of all; the others come a second after one another.
    found = [draws.shortlist(f"v@{n}", pmf_of, actions, f"e{n}", 5) for n in range(22)]
    assert [let.note(let.actions[0].id).weights for let in found] == ["v@0"] * 20 + ["v@20"] * 2
    assert asked == [40, 40]


class Served(NamedTuple):
    """The log, and the policy that was asked in the middle."""

    log: SqliteLog
    state: bytes


@pytest.fixture(scope="module", params=["text_thompson", "lin_ts"])
def served(request, tmp_path_factory):
    """A log of decisions among many, some learned from, some after the creatives changed."""
    data = tmp_path_factory.mktemp("served")
    log = SqliteLog(data / "log.db")
    with running(log) as api:
        rule = {"default": 0.0, "window_seconds": 0.05, "grace_seconds": 0.0}
        name = api.placement("p", MANY, shortlist=FEW, policy={"name": request.param}, reward=rule)
        for number in range(15):
            api.rank(name, event_id=f"before-{number}", context={"hour": number})
            api.event(name, f"before-{number}", "reward", {"value": float(number % 3 == 0)})
        fold(log, data)
        version = api.rank(name, event_id="middle").json()["policy_version"]
        assert not version.endswith("@0")
        state = snapshot_now(log)
        paused = api.client.patch(f"/v1/placements/{name}/creatives/c07", json={"status": "paused"})
        paused.raise_for_status()
        for number in range(15):
            api.rank(name, event_id=f"after-{number}", slots=[{"id": "x"}, {"id": "y"}])
        fold(log, data)
    yield Served(log, state)
    log.close()


def test_the_audit_draws_each_shortlist_again(served):
    report = audit(served.log)
    assert report.clean, report.summary()
    assert (report.decisions, report.undrawn) == (46, 0)


def reasons(log):
    return {(found.reason, found.event_id) for found in audit(log).mismatches}


def test_weights_of_a_version_before_are_found_again(served):
    first, middle = decision_of(served.log, "before-0"), decision_of(served.log, "middle")
    # As if the weights of the first version had been kept: what they let in is another draw.
    live = tuple(Action(name, first.actions[0].features) for name in MANY)
    lots = WeightedSampler(open_policy(first_spec(served.log)).pmf(EMPTY, live), FEW["floor"])
    entry = lots.draw(seed_of("middle", first.policy_version), 5)
    version = load_policy(served.state)
    chosen = tuple(live[index] for index in entry.indices.tolist())
    pmf = version.pmf(middle.context, chosen)
    index = sample(pmf, "middle")
    inclusion = lots.inclusion(int(entry.indices[index]), entry.until)
    note = msgspec.structs.replace(
        middle.shortlist, weights=first.policy_version, inclusion=inclusion
    )
    changes = {"actions": chosen, "pmf": tuple(pmf.tolist()), "index": index, "shortlist": note}
    log = tampered(served.log, "middle", lambda made: msgspec.structs.replace(made, **changes))
    report = audit(log)
    assert (report.clean, report.undrawn) == (True, 0), report.summary()
    note = msgspec.structs.replace(note, weights="unknown@3")
    unknown = changes | {"shortlist": note}
    report = audit(tampered(served.log, "middle", lambda d: msgspec.structs.replace(d, **unknown)))
    assert (report.clean, report.undrawn) == (True, 1), report.summary()


def decision_of(log, event_id):
    found = Api("", None, log).records(DECISIONS)
    return next(decode(record.value) for record in found if record.key == event_id.encode())


def first_spec(log):
    found = (decode(record.value) for record in Api("", None, log).records(CATALOGUE))
    return next(each for each in found if isinstance(each, Placement)).policy


def snapshot_now(log):
    """The newest policy: an older one's record is gone once the log is compacted."""
    return [decode(record.value).state for record in Api("", None, log).records(POLICIES)][-1]


def noted(decision, **changes):
    """The decision with another note of its shortlist."""
    note = msgspec.structs.replace(decision.shortlist, **changes)
    return msgspec.structs.replace(decision, shortlist=note)


def test_an_inclusion_that_was_changed_is_caught(served):
    log = tampered(served.log, "middle", lambda made: noted(made, inclusion=0.123))
    assert reasons(log) == {("shortlist_differs", "middle")}


def test_an_action_that_was_not_let_in_is_caught(served):
    def change(decision):
        stranger = next(each for each in MANY if each not in ids(decision))
        unlike = next(n for n in range(5) if n != decision.index)
        actions = list(decision.actions)
        actions[unlike] = msgspec.structs.replace(actions[unlike], id=stranger)
        return msgspec.structs.replace(decision, actions=tuple(actions))

    assert ("shortlist_differs", "middle") in reasons(tampered(served.log, "middle", change))


def test_a_shortlist_of_a_catalogue_that_is_gone_is_counted_apart(served):
    report = audit(tampered(served.log, "middle", lambda made: noted(made, among="00")))
    assert (report.clean, report.undrawn) == (True, 1)
    assert "1 whose shortlists cannot be drawn again" in report.summary()
