"""Several slots through the whole loop: asked for, shown in part, clicked, joined, learned."""

import json

import pytest

from bandit.verification import audit
from streams.events import INTERACTIONS, interactions_in
from streams.logs.base import TopicPartition
from streams.logs.embedded import MemoryLog
from tests.bandit.learning.test_worker import learning, published, undisturbed
from tests.bandit.service.api_server import running, wait_until
from tests.streams.join.joiner_runs import joining

EVENTS = 6
SLOTS = [{"id": "top"}, {"id": "side", "features": {"wide": True}}, {"id": "foot"}]


def interactions(log):
    records = log.read(TopicPartition(INTERACTIONS, 0), 0, limit=1000)
    return [interaction for record in records for interaction in interactions_in(record.value)]


@pytest.mark.parametrize("policy", ["thompson", "lin_ts"])
def test_each_slot_is_learned_by_its_own_reward(policy, tmp_path):
    """Of every other event all slots are shown, of the rest the side alone; the side is clicked."""
    log = MemoryLog()
    shown = {(n, slot) for n in range(EVENTS) for slot in ((0, 1, 2) if n % 2 else (1,))}
    wanted = len(shown) + EVENTS
    with running(log) as api, joining(log, tmp_path), learning(log, tmp_path):
        api.placement("home", "abcd", policy={"name": policy}, learn="realtime")
        for n in range(EVENTS):
            api.rank("home", event_id=f"e{n}", slots=SLOTS, context={"hour": n}, deferred=True)
            api.event("home", f"e{n}", "activate", None if n % 2 else {"slots": [1]})
            api.event("home", f"e{n}", "outcomes", {"kind": "click", "slot": 1})
        wait_until(lambda: len(interactions(log)) == wanted)
        wait_until(lambda: published(log) == undisturbed(log))
        version = published(log).version
        unshown = {"slots": SLOTS, "deferred": True}
        wait_until(lambda: api.rank("home", **unshown).json()["policy_version"] == version)

    reward = {(i.decision.event_id, i.decision.slot): i.reward for i in interactions(log)}
    assert reward == {(f"e{n}", slot): float(slot == 1) for n, slot in shown}
    seen = {json.loads(bytes(i.decision.context))["slot"]["id"] for i in interactions(log)}
    assert seen == {"top", "side", "foot"}
    report = audit(log)
    assert report.clean, report.summary()
