"""Headers: those of our records as CloudEvents, each with an id of its own, and the trace."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from streams.catalogue.state import catalogue_message
from streams.dead_letters import dead_letter_message
from streams.events import (
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    Action,
    Creative,
    Generation,
    Interaction,
    Outcome,
    Placement,
    PolicySnapshot,
    encode,
)
from streams.events.creatives import GeneratorVersion
from streams.join.partition import TICK
from streams.logs.base import Message, Record
from streams.logs.cloudevents import (
    HEADERS,
    as_cloudevent,
    rfc3339,
    trace_headers,
    trace_headers_of,
    trace_in,
)
from streams.schema import event_type
from tests.bandit.decisions import a_decision
from tests.streams.made_events import MADE, decisions, ids, slots

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
AT_MS = 1795428000007
AT = b"2026-11-23T10:00:00.007Z"
NOW_MS = AT_MS + 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SOURCE = "copyloop/ads.topic"

CONTEXT = Raw(b'{"event_id":"not this one"}')
DECISION = replace(
    a_decision("e-1", (Action("a"),), (1.0,), 0, at_ms=AT_MS, context=CONTEXT), traceparent=TRACE
)
OUTCOME = Outcome(event_id="e-1", outcome_id="o-1", kind="click", timestamp_ms=AT_MS)
INTERACTION = Interaction(
    source=3, sequence=7, decision=DECISION, reward=1.0, status="closed", timestamp_ms=AT_MS
)
SNAPSHOT = PolicySnapshot(
    placement="home", version="abc@7", spec={}, partition=0, offset=7, state=b"", timestamp_ms=AT_MS
)
CATALOGUE = {
    "placement/home": Placement(name="home"),
    "creative/home/a": Creative(
        id="a", placement="home", parts={}, status="live", timestamp_ms=AT_MS
    ),
    "generation/g": Generation(
        id="g", placement="p", brief=Raw(b"{}"), n=1, seed=1, status="done", timestamp_ms=AT_MS
    ),
    "generator_version/v": GeneratorVersion(id="v", status="candidate", timestamp_ms=AT_MS),
}


def message(topic, event, **more):
    return Message(topic, b"key", encode(event), **more)


def converted(message):
    return as_cloudevent(message, source=SOURCE, now_ms=NOW_MS)


def headers(message):
    found = converted(message).headers
    assert len(dict(found)) == len(found), "a header twice"
    return dict(found)


def test_a_decision_has_all_that_cloudevents_ask_for():
    found = headers(message(DECISIONS, DECISION, headers=trace_headers(TRACE)))
    assert found == {
        "traceparent": TRACE.encode(),
        "ce_specversion": b"1.0",
        "ce_id": b"e-1",
        "ce_source": SOURCE.encode(),
        "ce_type": b"copyloop.decision.v1",
        "ce_time": AT,
        "ce_subject": b"e-1",
        "ce_traceparent": TRACE.encode(),
        "content-type": b"application/json",
    }


@pytest.mark.parametrize(
    ("topic", "event", "type_", "id_", "subject"),
    [
        (OUTCOMES, OUTCOME, "outcome", "e-1/o-1", "e-1"),
        (INTERACTIONS, INTERACTION, "interaction", "3-7", "e-1"),
        (POLICIES, SNAPSHOT, "policy", "home/abc@7", "home"),
    ],
)
def test_each_event_has_its_type_its_id_and_its_subject(topic, event, type_, id_, subject):
    found = headers(message(topic, event))
    assert found["ce_type"].decode() == f"copyloop.{type_}.v1"
    assert (found["ce_id"].decode(), found["ce_subject"].decode()) == (id_, subject)
    assert found["ce_time"] == AT


@pytest.mark.parametrize(("key", "event"), CATALOGUE.items(), ids=CATALOGUE)
def test_a_change_of_the_catalogue_is_told_by_its_key_time_and_content(key, event):
    found = headers(catalogue_message(event))
    assert found["ce_type"].decode() == f"copyloop.{key.partition('/')[0]}.v1"
    assert found["ce_subject"].decode() == key
    assert found["ce_id"].decode().startswith(f"{key}@{NOW_MS}-")
    assert found["ce_time"].decode() == rfc3339(NOW_MS)


def test_what_changes_back_is_another_event():
    states = [Placement(name="p"), Placement(name="p", deleted=True), Placement(name="p")]
    made = [
        as_cloudevent(catalogue_message(state), source=SOURCE, now_ms=at_ms)
        for state, at_ms in zip(states, [NOW_MS, NOW_MS, NOW_MS + 1], strict=True)
    ]
    assert len({dict(m.headers)["ce_id"] for m in made}) == 3


def test_a_tick_is_a_cloudevent_and_still_a_tick():
    tick = converted(Message(OUTCOMES, b"", TICK, partition=2))
    found = dict(tick.headers)
    assert (found["ce_type"], found["ce_id"]) == (b"copyloop.tick.v1", b"tick/2@%d" % NOW_MS)
    assert tick.value == TICK
    assert "ce_subject" not in found


@given(st.sets(st.tuples(ids | st.sampled_from(["a", "a/1", "a%2F1"]), slots | st.just(1))))
def test_no_two_decisions_have_one_id(events):
    made = [replace(DECISION, event_id=e, slot=slot) for e, slot in events]
    assert len({headers(message(DECISIONS, decision))["ce_id"] for decision in made}) == len(events)


@given(
    st.sets(
        st.tuples(
            *[ids | st.sampled_from(["a", "a/1", "1/a", "a%2F1", "1"])] * 2, st.integers(0, 1)
        )
    )
)
def test_no_two_outcomes_have_one_id(events):
    made = [replace(OUTCOME, event_id=e, outcome_id=o, slot=s) for e, o, s in events]
    assert len({headers(message(OUTCOMES, outcome))["ce_id"] for outcome in made}) == len(events)


@pytest.mark.parametrize("name", MADE)
@given(data=st.data())
def test_every_event_becomes_one_with_headers_that_are_told_of(name, data):
    event = data.draw(MADE[name])
    before = message(OUTCOMES, event, headers=(("mine", b"\xff"),), partition=0)
    after = converted(before)
    found = dict(after.headers)
    assert {"ce_specversion", "ce_id", "ce_source", "ce_type", "content-type"} <= set(found)
    assert set(found) <= {"mine", *HEADERS}
    assert found["ce_type"].decode() == f"copyloop.{event_type(type(event))}.v{event.v}"
    assert found["ce_id"]
    assert after._replace(headers=before.headers) == before


UNTOUCHED = {
    "history": message(OUTCOMES, OUTCOME, timestamp_ms=5),
    "a dead letter": dead_letter_message(
        Record(OUTCOMES, 0, 0, 0, b"k", encode(OUTCOME)), "late", "late"
    ),
    "another's topic": message("clicks", OUTCOME),
    "not JSON": Message(OUTCOMES, b"k", b"\xff{"),
    "empty": Message(OUTCOMES, b"k", b""),
    "no event of ours": Message(OUTCOMES, b"k", b'{"type":"click"}'),
    "a field missing": Message(OUTCOMES, b"k", b'{"type":"outcome","event_id":"e"}'),
    "another's CloudEvent": message(OUTCOMES, OUTCOME, headers=(("ce_id", b"theirs"),)),
    "another's content": message(OUTCOMES, OUTCOME, headers=(("content-type", b"x/y"),)),
}


@pytest.mark.parametrize("what", UNTOUCHED)
def test_what_is_not_ours_to_describe_stays_as_it_is(what):
    assert converted(UNTOUCHED[what]) is UNTOUCHED[what]


@given(st.integers(0, 253_402_300_799_999))
def test_times_are_exact_to_the_millisecond(timestamp_ms):
    read = datetime.fromisoformat(rfc3339(timestamp_ms))
    assert (read - EPOCH) / timedelta(milliseconds=1) == timestamp_ms


def test_a_time_that_rfc_3339_cannot_tell_is_left_out():
    far = replace(OUTCOME, timestamp_ms=253_402_300_800_000)
    assert "ce_time" not in headers(message(OUTCOMES, far))
    last = replace(OUTCOME, timestamp_ms=253_402_300_799_999)
    assert headers(message(OUTCOMES, last))["ce_time"] == b"9999-12-31T23:59:59.999Z"


# The trace

OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACED = (("traceparent", TRACE.encode()),)


@given(decisions())
def test_a_decisions_trace_is_found_in_its_json_however_it_is_written(decision):
    for trace, headers in ((TRACE, TRACED), (None, ()), ("00-malformed", ())):
        written = encode(replace(decision, traceparent=trace))
        assert trace_headers_of(Raw(written)) == headers
        assert trace_headers_of(Raw(msgspec.json.format(written, indent=2))) == headers


@pytest.mark.parametrize(
    ("json", "headers"),
    [
        (b'{"traceparent":"%s","context":{"traceparent":null,"v":1}}' % TRACE.encode(), TRACED),
        (b'{"context":{"traceparent":"%s"}}' % TRACE.encode(), ()),
        (b'{"v":1}', ()),
    ],
)
def test_only_the_decisions_own_field_counts(json, headers):
    assert trace_headers_of(Raw(json)) == headers


def test_what_headers_tell_is_what_they_were_given():
    assert trace_in(trace_headers(TRACE)) == TRACE
    assert trace_in((("traceparent", OTHER.encode()), *TRACED)) == TRACE
    assert trace_in(()) is None
