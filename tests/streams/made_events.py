"""Events of every type, as Hypothesis makes them up."""

from typing import get_args

from hypothesis import strategies as st
from msgspec import UNSET, Raw
from msgspec.json import encode

from streams.events import (
    FIRST_VERSION,
    LONGEST_WINDOW_SECONDS,
    SHORTLIST_VERSION,
    Action,
    Creative,
    Decision,
    Generation,
    Interaction,
    Lineage,
    Outcome,
    Placement,
    PolicySnapshot,
    RewardKind,
    RewardRule,
    Tick,
)
from streams.events.access import SCOPES, Act, ApiKey, Assignment, Flag, KeySecret, Protection
from streams.events.creatives import Canary, GateRow, GeneratorVersion, VersionStatus
from streams.events.placement import (
    Caps,
    Rotation,
    Safety,
    Seen,
    Shortlist,
    Shortlisted,
    Shown,
    TrialResult,
)

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ids = words.filter(bool)
times = st.integers(0, 2**53 - 1)
slots = st.integers(0, 2**16 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
# No 1.0: an integer to JSON Schema, but not to us.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.just(0.5) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(words, json_values, max_size=2)
raw_objects = objects.map(lambda value: Raw(encode(value)))
seconds = st.floats(0.001, LONGEST_WINDOW_SECONDS)
traces = st.none() | words
counts = st.none() | st.integers(1, 2**53 - 1)
results = st.builds(
    TrialResult,
    since_ms=times,
    n=counts.filter(bool),
    value=st.none() | numbers,
    low=st.none() | numbers,
    high=st.none() | numbers,
    match=st.none() | numbers,
)
caps = st.just(UNSET) | st.builds(Caps, per_user=counts, per_day=counts, total=counts)
shortlists = st.just(UNSET) | st.builds(
    Shortlisted,
    size=st.integers(2, 1000),
    of=st.integers(3, 10**6),
    floor=st.floats(0.01, 0.9),
    weights=words,
    among=words,
    catalogue=times,
    inclusion=st.floats(0.01, 0.9),
)


@st.composite
def decisions(draw):
    actions = draw(
        st.lists(st.builds(Action, id=words, features=raw_objects), min_size=1, max_size=4)
    )
    index = draw(st.integers(0, len(actions) - 1))
    pmf = [0.0] * len(actions)
    pmf[index] += 0.5
    pmf[draw(st.integers(0, len(actions) - 1))] += 0.5
    shortlist = draw(shortlists)
    return Decision(
        shortlist=shortlist,
        v=SHORTLIST_VERSION if shortlist else FIRST_VERSION,
        event_id=draw(ids),
        placement=draw(words),
        timestamp_ms=draw(times),
        context=draw(raw_objects),
        actions=tuple(actions),
        pmf=tuple(pmf),
        index=index,
        policy_version=draw(words),
        slot=draw(slots),
        deferred=draw(st.booleans()),
        traceparent=draw(traces),
    )


outcomes = st.builds(
    Outcome,
    event_id=ids,
    outcome_id=ids,
    kind=words,
    timestamp_ms=times,
    value=numbers,
    slot=slots,
    traceparent=traces,
)
kinds = st.builds(
    RewardKind,
    weight=numbers,
    aggregation=st.sampled_from(["sum", "max", "first", "last", "mean"]),
    window_seconds=st.none() | seconds,
    cap=st.just(UNSET) | numbers,
)
rules = st.builds(
    RewardRule,
    kinds=st.dictionaries(words, kinds, max_size=2),
    default=st.just(0.5),
    window_seconds=seconds,
    grace_seconds=seconds,
    minimum=st.floats(-1, 0),
    maximum=st.floats(1, 2),
)
policies = st.dictionaries(words, json_values, max_size=2)
MADE = {
    "Decision": decisions(),
    "Outcome": outcomes,
    "Tick": st.builds(Tick),
    "Interaction": st.builds(
        Interaction,
        source=st.integers(0, 9),
        sequence=st.integers(0, 10**9),
        decision=decisions(),
        reward=numbers,
        status=st.sampled_from(["closed", "provisional", "corrected"]),
        timestamp_ms=times,
        previous_reward=st.none() | numbers,
        outcomes=st.lists(outcomes, max_size=2).map(tuple),
    ),
    "Placement": st.builds(
        Placement,
        name=ids,
        policy=policies,
        reward=rules,
        learn=st.sampled_from(["window", "realtime"]),
        deleted=st.booleans(),
        caps=caps,
        seen=st.just(UNSET) | st.builds(Seen, path=ids, feature=st.booleans()),
        challengers=st.just(UNSET) | st.dictionaries(words, policies, max_size=2),
        safety=st.just(UNSET) | st.builds(Safety, promote=st.booleans(), baseline=st.none() | ids),
        why=st.just(UNSET) | words,
        rotation=st.just(UNSET)
        | st.builds(
            Rotation,
            brief=raw_objects,
            live=st.integers(2, 1000),
            every_seconds=st.none() | st.floats(1, 1e9),
            retire=st.booleans(),
        ),
        protection=st.just(UNSET)
        | st.builds(
            Protection, private=st.lists(ids, max_size=2).map(tuple), signed_rewards=st.booleans()
        ),
        review=st.just(UNSET) | st.booleans(),
        shortlist=st.just(UNSET) | st.builds(Shortlist, size=st.integers(2, 1000)),
        flag=st.just(UNSET) | st.builds(Flag, part=st.none() | words),
        attributes=st.just(UNSET) | st.dictionaries(words, raw_objects, max_size=2),
    ),
    "Creative": st.builds(
        Creative,
        id=ids,
        placement=words,
        parts=st.dictionaries(words, words, max_size=2),
        status=st.sampled_from(["proposed", "screened", "live", "paused", "retired", "rejected"]),
        timestamp_ms=times,
        features=raw_objects,
        reason=st.none() | words,
        lineage=st.builds(Lineage, model=st.none() | words, seed=st.none() | st.integers(0, 9)),
        caps=caps,
    ),
    "Generation": st.builds(
        Generation,
        id=words,
        placement=words,
        brief=raw_objects,
        n=st.integers(1, 99),
        seed=st.integers(0, 99),
        status=st.sampled_from(["requested", "done", "failed"]),
        timestamp_ms=times,
        winners=st.lists(words, max_size=2).map(tuple),
        reason=st.none() | words,
        version=st.just(UNSET) | ids,
    ),
    "GeneratorVersion": st.builds(
        GeneratorVersion,
        id=ids,
        status=st.sampled_from(get_args(VersionStatus)),
        timestamp_ms=times,
        parent=st.none() | words,
        replaces=st.none() | words,
        manifest=raw_objects,
        gate=st.lists(
            st.builds(
                GateRow,
                rule=words,
                value=st.none() | numbers,
                bound=st.none() | numbers,
                passed=st.booleans(),
                why=words,
            ),
            max_size=2,
        ).map(tuple),
        canary=st.just(UNSET) | st.builds(Canary, since_ms=times, n=times, low=st.none() | numbers),
        reason=st.none() | words,
        by=st.none() | words,
    ),
    "PolicySnapshot": st.builds(
        PolicySnapshot,
        placement=words,
        version=words,
        spec=policies,
        partition=st.integers(0, 9),
        offset=st.integers(0, 10**9),
        state=st.binary(max_size=20),
        timestamp_ms=times,
        shown=st.just(UNSET) | st.dictionaries(words, st.builds(Shown, times, times, times)),
        trials=st.just(UNSET) | st.dictionaries(words, results, max_size=2),
    ),
    "ApiKey": st.builds(
        ApiKey,
        id=ids,
        name=words,
        scopes=st.lists(st.sampled_from(SCOPES), max_size=3).map(tuple),
        secrets=st.lists(
            st.builds(KeySecret, st.binary(max_size=9), st.binary(max_size=9), st.none() | times),
            max_size=2,
        ).map(tuple),
        created_ms=times,
        expires_ms=st.none() | times,
        revoked_ms=st.none() | times,
        rate_per_second=st.none() | numbers,
    ),
    "Assignment": st.builds(
        Assignment,
        placement=ids,
        user=ids,
        event_id=ids,
        creative_id=ids,
        propensity=numbers,
        policy_version=words,
        timestamp_ms=times,
        until_ms=times,
    ),
    "Act": st.builds(
        Act,
        id=ids,
        who=words,
        what=words,
        target=words,
        timestamp_ms=times,
        before=st.none() | policies,
        after=st.none() | policies,
    ),
}
