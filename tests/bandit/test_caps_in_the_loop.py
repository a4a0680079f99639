"""Caps from the log and back: counted in the fold, published, obeyed, and audited."""

import json
from collections import Counter

import msgspec
import pytest
from msgspec import Raw

from bandit.errors import RequestError
from bandit.learning.fold import PartitionFold
from bandit.policies import parse_policy
from bandit.service.state import Snapshots
from bandit.verification import audit
from streams.events import POLICIES, decode
from streams.events.placement import Caps, Shown
from streams.logs.base import TopicPartition
from tests.bandit.histories import (
    ACTIONS,
    NOW_MS,
    PARTITION,
    VW_TEXT,
    creative,
    decision,
    decision_message,
    folded,
    interaction,
    interaction_message,
    new_log,
    placement,
    put,
)
from tests.bandit.learning.test_worker import Clock, a_learner

DAY = NOW_MS // 86_400_000


def snapshots_of(log):
    return [decode(record.value) for record in log.read(TopicPartition(POLICIES, 0), 0)]


def asked(serving, number, context=None):
    """A decision as the API makes it: among what is not capped."""
    seen = Raw(json.dumps(context or {}).encode())
    actions = serving.actions
    if serving.constraints is not None:
        actions = serving.constraints.allowed(seen, actions, NOW_MS)
    event_id = f"e{number}"
    return decision(event_id, serving.policy, serving.version, context=context, actions=actions)


def served(log):
    snapshots = Snapshots(log)
    snapshots.start()
    snapshots.stop()
    return snapshots.placement("home")


def served_with_creatives(log):
    put(log, *map(creative, ACTIONS))
    return served(log)


def test_a_decision_is_counted_once_however_often_it_is_corrected():
    log = new_log(placement())
    made = asked(served_with_creatives(log), 1)
    told = [
        interaction(made, 0, 0.0, status="provisional"),
        interaction(made, 0, 0.0, status="provisional"),
        interaction(made, 1, 1.0, status="corrected", previous=0.0),
        interaction(made, 2, 1.0, previous=1.0),
    ]
    log.append([interaction_message(each) for each in told])
    fold = folded(log)
    assert fold.placements["home"].shown == {made.action.id: Shown(1, DAY, 1)}
    again = PartitionFold.from_bytes(fold.to_bytes())
    assert again.placements["home"].shown == fold.placements["home"].shown


@pytest.mark.parametrize("capped", [False, True])
def test_counts_are_published_where_something_has_caps(tmp_path, capped):
    log = new_log(placement(caps=Caps(total=5) if capped else msgspec.UNSET))
    made = asked(served_with_creatives(log), 1)
    log.append([interaction_message(interaction(made, 0, 1.0))])
    learner, start = a_learner(log, tmp_path, clock=Clock())
    learner.step(log.read(PARTITION, start))
    (snapshot,) = snapshots_of(log)
    counts = {made.action.id: Shown(1, DAY, 1)}
    assert snapshot.shown == (counts if capped else msgspec.UNSET)


@pytest.mark.parametrize("policy", ["thompson", VW_TEXT])
def test_caps_are_kept_to_the_last_showing_and_every_pmf_is_derived(tmp_path, policy):
    """Each decision is learned of before the next, so nothing is shown too often."""
    log = new_log(placement(policy=parse_policy(policy), caps=Caps(total=4, per_user=2)))
    put(log, *map(creative, ACTIONS))
    learner, position = a_learner(log, tmp_path, clock=Clock())
    made = []
    for number in range(12):
        # Every third user has seen "a" enough, while there is something else to show.
        seen = {"a": 2} if number % 3 == 0 and number < 8 else {}
        made.append(asked(served(log), number, {"seen": seen}))
        log.append([decision_message(made[-1])])
        log.append([interaction_message(interaction(made[-1], number, float(number % 4 == 0)))])
        learner.step(log.read(PARTITION, position + number))
    assert Counter(each.action.id for each in made) == {"a": 4, "b": 4, "c": 4}
    assert all("a" not in {action.id for action in made[n].actions} for n in (0, 3, 6))
    with pytest.raises(RequestError, match="reached a cap"):
        asked(served(log), 12)
    report = audit(log)
    assert report.clean
    assert report.decisions == 12
