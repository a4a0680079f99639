"""Decisions of later schemas: taken in place of the policy, or among some of many."""

import pytest
from msgspec import UNSET

from streams.errors import SchemaError, SchemaVersionError
from streams.events import (
    FALLBACK_VERSION,
    FIRST_VERSION,
    SCHEMA_VERSION,
    SHORTLIST_VERSION,
    Action,
    Placement,
    decode,
    encode,
)
from streams.events.placement import Shortlist, Shortlisted
from tests.bandit.decisions import a_decision

BEFORE = (
    b'{"type":"decision","event_id":"e","placement":"home","timestamp_ms":1,"context":{},'
    b'"actions":[{"id":"a","features":{}},{"id":"b","features":{}}],"pmf":[0.5,0.5],"index":1,'
    b'"policy_version":"v@0","slot":0,"deferred":false,%b"traceparent":null,"v":%d}'
)
NOTE = Shortlisted(size=2, of=9, floor=0.2, weights="v@0", among="0a", catalogue=7, inclusion=0.5)
FALLBACK_JSON = b'"fallback":true,'
SHORTLIST_JSON = (
    b'"shortlist":{"size":2,"of":9,"floor":0.2,"weights":"v@0",'
    b'"among":"0a","catalogue":7,"inclusion":0.5},'
)


def decision(v, **later):
    actions = (Action("a"), Action("b"))
    return a_decision("e", actions, (0.5, 0.5), 1, at_ms=1, version="v@0", v=v, **later)


@pytest.mark.parametrize("before", [BEFORE % (b"", 1), BEFORE % (FALLBACK_JSON, 2)])
def test_a_decision_of_an_earlier_schema_reads_and_writes_as_it_did(before):
    found = decode(before)
    assert found.shortlist is UNSET
    assert (found.fallback is UNSET) == (found.v == FIRST_VERSION)
    assert encode(found) == before


@pytest.mark.parametrize(
    ("version", "later", "json"),
    [
        (FALLBACK_VERSION, {"fallback": True}, FALLBACK_JSON),
        (SHORTLIST_VERSION, {"shortlist": NOTE}, SHORTLIST_JSON),
    ],
)
def test_a_later_field_says_that_older_readers_do_not_know_it(version, later, json):
    made = decision(version, **later)
    assert FIRST_VERSION < version <= SCHEMA_VERSION
    assert json in encode(made)
    assert decode(encode(made)) == decode(BEFORE % (json, version)) == made
    # Older readers would drop it, or learn from it.
    with pytest.raises(ValueError, match=f"schema {version}"):
        decision(version - 1, **later)
    with pytest.raises(SchemaError, match=f"schema {version}"):
        decode(BEFORE % (json, version - 1))


def test_what_a_newer_schema_wrote_is_told_as_such():
    with pytest.raises(SchemaVersionError, match="upgrade"):
        decode(BEFORE % (b"", SCHEMA_VERSION + 1))


def test_a_placement_from_before_shortlists_has_none():
    plain = encode(Placement(name="home"))
    assert b"shortlist" not in plain
    assert decode(plain).shortlist is UNSET
    with_one = Placement(name="home", shortlist=Shortlist(size=50))
    assert decode(encode(with_one)) == with_one
    with pytest.raises(SchemaError, match=r"shortlist\.size"):
        decode(encode(with_one).replace(b'"size":50', b'"size":1'))
