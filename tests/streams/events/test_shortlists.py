"""A decision among some of many, and the schema that knows of it."""

import pytest
from msgspec import UNSET

from streams.errors import SchemaError
from streams.events import (
    EMPTY,
    SCHEMA_VERSION,
    SHORTLIST_VERSION,
    Action,
    Decision,
    Placement,
    decode,
    encode,
)
from streams.events.placement import Shortlist, Shortlisted

BEFORE = (
    b'{"type":"decision","event_id":"e","placement":"home","timestamp_ms":1,"context":{},'
    b'"actions":[{"id":"a","features":{}},{"id":"b","features":{}}],"pmf":[0.5,0.5],"index":1,'
    b'"policy_version":"v@0","slot":0,"deferred":false,%b"traceparent":null,"v":%d}'
)
NOTE = Shortlisted(size=2, of=9, floor=0.2, weights="v@0", among="0a", catalogue=7, inclusion=0.5)


@pytest.mark.parametrize("before", [BEFORE % (b"", 1), BEFORE % (b'"fallback":true,', 2)])
def test_a_decision_from_before_shortlists_reads_and_writes_as_it_did(before):
    decision = decode(before)
    assert decision.shortlist is UNSET
    assert encode(decision) == before


def shortlisted(v):
    return Decision(
        event_id="e",
        placement="home",
        timestamp_ms=1,
        context=EMPTY,
        actions=(Action("a"), Action("b")),
        pmf=(0.5, 0.5),
        index=1,
        policy_version="v@0",
        shortlist=NOTE,
        v=v,
    )


def test_a_shortlist_says_that_older_readers_do_not_know_it():
    decision = shortlisted(SHORTLIST_VERSION)
    assert decode(encode(decision)) == decision
    assert decision.v <= SCHEMA_VERSION


def test_a_shortlist_that_older_readers_would_drop_is_refused():
    with pytest.raises(ValueError, match="schema 3"):
        shortlisted(SHORTLIST_VERSION - 1)
    note = b'"shortlist":{"size":2,"of":9,"floor":0.2,"weights":"v@0",'
    note += b'"among":"0a","catalogue":7,"inclusion":0.5},'
    assert decode(BEFORE % (note, 3)) == shortlisted(3)
    with pytest.raises(SchemaError, match="schema 3"):
        decode(BEFORE % (note, 2))


def test_a_placement_from_before_shortlists_has_none():
    plain = encode(Placement(name="home"))
    assert b"shortlist" not in plain
    assert decode(plain).shortlist is UNSET
    with_one = Placement(name="home", shortlist=Shortlist(size=50))
    assert decode(encode(with_one)) == with_one
    with pytest.raises(SchemaError, match=r"shortlist\.size"):
        decode(encode(with_one).replace(b'"size":50', b'"size":1'))
