"""The fold: what it learns from, what it refuses, and that its bytes depend on the log alone."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit.errors import FeatureError, LearnError
from bandit.learning.fold import PartitionFold, PlacementFold, Refold
from bandit.policies import open_policy, parse_policy
from bandit.policy import policy_version
from streams.errors import CheckpointError, SchemaError
from streams.events import INTERACTIONS, Tick, encode
from streams.logs.base import Message
from tests.bandit.histories import (
    PARTITION,
    SPECS,
    THOMPSON,
    VW,
    VW_TEXT,
    catalogue_of,
    decision,
    folded,
    interaction,
    interaction_message,
    live,
    lived,
    new_log,
    placement,
    put,
)


def made(number, spec=THOMPSON, placement="home"):
    return decision(f"e{number}", open_policy(spec), "v", placement=placement)


def test_a_first_reward_is_learned_and_the_version_names_the_next_offset():
    fold = PlacementFold(THOMPSON)
    fresh = fold.policy.to_bytes()
    assert fold.snapshot("home", 0).version == policy_version(fresh, 0)
    assert fold.take(interaction(made(0), 0, 1.0), 41)
    expected = open_policy(THOMPSON)
    expected.learn(made(0), 1.0)
    assert fold.policy.to_bytes() == expected.to_bytes() != fresh
    assert fold.snapshot("home", 0).version == policy_version(expected.to_bytes(), 42)


def test_a_duplicate_is_told_by_its_sequence_from_its_source():
    fold = PlacementFold(THOMPSON)
    assert fold.take(interaction(made(0), 0, 1.0, source=0), 0)
    assert fold.take(interaction(made(1), 5, 1.0, source=0), 1)
    state = fold.policy.to_bytes()
    for sequence in (0, 3, 5):
        assert not fold.take(interaction(made(1), sequence, 1.0, source=0), 2)
    assert (fold.policy.to_bytes(), fold.offset) == (state, 2)
    assert fold.take(interaction(made(2), 0, 1.0, source=1), 3)


@SPECS
def test_a_fallback_teaches_nothing_but_was_shown(spec):
    fold = PlacementFold(spec)
    fresh = fold.policy.to_bytes()
    fallback = msgspec.structs.replace(made(0, spec), fallback=True, v=2)
    assert not fold.take(interaction(fallback, 0, 1.0), 41)
    assert (fold.policy.to_bytes(), fold.offset) == (fresh, 42)
    assert fold.shown[fallback.action.id].total == 1
    assert not fold.take(interaction(fallback, 0, 1.0), 42)


@given(st.lists(st.booleans(), max_size=30))
def test_two_writers_of_the_same_interactions_teach_like_one(turns):
    """Who lost a partition and who got it may both write for a while, each in order."""
    fold, told = PlacementFold(THOMPSON), PlacementFold(THOMPSON)
    written = {False: 0, True: 0}
    for offset, writer in enumerate(turns):
        number = written[writer]
        fold.take(interaction(made(number), number, number % 2), offset)
        written[writer] += 1
    for number in range(max(written.values())):
        told.take(interaction(made(number), number, number % 2), number)
    assert fold.policy.to_bytes() == told.policy.to_bytes()


def test_a_correction_leads_where_knowing_the_last_reward_from_the_start_would_have():
    fold, told = PlacementFold(THOMPSON), PlacementFold(THOMPSON)
    assert fold.take(interaction(made(0), 0, 0.0, status="provisional"), 0)
    assert fold.take(interaction(made(0), 1, 1.0, status="corrected", previous=0.0), 1)
    assert not fold.take(interaction(made(0), 2, 1.0, status="closed", previous=1.0), 2)
    told.take(interaction(made(0), 0, 1.0), 0)
    assert fold.policy.to_bytes() == told.policy.to_bytes()


def test_a_policy_that_cannot_be_corrected_learns_a_decision_when_it_is_closed():
    fold, told = PlacementFold(VW), PlacementFold(VW)
    fresh = fold.policy.to_bytes()
    assert not fold.take(interaction(made(0), 0, 0.0, status="provisional"), 0)
    assert fold.policy.to_bytes() == fresh
    with pytest.raises(LearnError, match=r"corrects 0\.0 to 1\.0") as caught:
        fold.take(interaction(made(0), 1, 1.0, status="corrected", previous=0.0), 1)
    assert caught.value.code == "not_correctable"
    assert fold.take(interaction(made(0), 2, 1.0, status="closed", previous=1.0), 2)
    told.take(interaction(made(0), 0, 1.0), 0)
    assert fold.policy.to_bytes() == told.policy.to_bytes()


def test_what_cannot_be_learned_is_refused_and_leaves_the_policy_as_it_was():
    log = new_log(placement(policy=VW))
    good = interaction(made(0, VW), 0, 1.0)
    log.append([interaction_message(good)])
    fold = folded(log)
    state = fold.placements["home"].policy.to_bytes()
    nested = decision("bad", open_policy(THOMPSON), "v", context={"deep": {"er": [None]}})
    log.append([interaction_message(interaction(nested, 1, 1.0))])
    with pytest.raises(FeatureError):
        fold.take(log.read(PARTITION, 1)[0], catalogue_of(log))
    assert fold.placements["home"].policy.to_bytes() == state


@pytest.mark.parametrize(
    ("value", "error", "code"),
    [
        (b"no JSON", SchemaError, "schema_error"),
        (encode(Tick()), LearnError, "not_an_interaction"),
        (encode(interaction(made(0, placement="elsewhere"), 0, 1.0)), LearnError, None),
    ],
)
def test_a_record_that_is_no_interaction_of_ours_is_refused(value, error, code):
    log = new_log(placement())
    log.append([Message(INTERACTIONS, b"home", value)])
    with pytest.raises(error) as caught:
        folded(log)
    assert caught.value.code == (code or "placement_unknown")


@pytest.mark.parametrize("policy", ["thompson", VW_TEXT])
@settings(deadline=None, max_examples=25)
@given(n=st.integers(0, 12), cut=st.integers(0, 12), again=st.integers(0, 12))
def test_stopping_anywhere_and_folding_some_again_changes_nothing(policy, n, cut, again):
    log = new_log(placement(policy=parse_policy(policy)))
    log.append(lived(policy, 12, seed=4)[:n])
    records = log.read(PARTITION, 0)
    undisturbed = folded(log)
    catalogue = catalogue_of(log)
    resumed = PartitionFold.from_bytes(folded(log, records[:cut]).to_bytes())
    for record in records[max(cut - again, 0) :]:
        resumed.take(record, catalogue)
    assert resumed.to_bytes() == undisturbed.to_bytes()


def test_state_bytes_do_not_depend_on_the_order_in_which_placements_first_came():
    log = new_log(placement(), placement("aside"))
    records = [interaction(made(0), 0, 1.0), interaction(made(1, placement="aside"), 1, 1.0)]
    log.append([interaction_message(record) for record in records])
    forth, back = log.read(PARTITION, 0), log.read(PARTITION, 0)[::-1]
    assert folded(log, forth).to_bytes() == folded(log, back).to_bytes()


@pytest.mark.parametrize("data", [b"", b"\x92\x00\x80", b"\x92\xcc\x63\x80"])
def test_bytes_that_are_not_a_learners_state_are_refused(data):
    with pytest.raises(CheckpointError):
        PartitionFold.from_bytes(data)


@SPECS
def test_folding_anew_equals_having_had_the_new_policy_from_the_start(spec):
    old = placement()
    log = new_log(old, placement("aside"))
    live(log, old, 20, seed=1)
    live(log, placement("aside"), 5, seed=2, first=20)
    refold = Refold("home", spec, 0)
    refold.take(log.read(PARTITION, 0))
    put(log, placement(policy=spec))
    expected = folded(log).placements["home"]
    assert refold.fold.snapshot("home", 0) == expected.snapshot("home", 0)
    assert (refold.position, refold.refused) == (25, 0)
