"""A decision that was taken in place of the policy, and the schema that knows of it."""

import pytest
from msgspec import UNSET

from streams.errors import SchemaError, SchemaVersionError
from streams.events import (
    EMPTY,
    FALLBACK_VERSION,
    FIRST_VERSION,
    SCHEMA_VERSION,
    Action,
    Decision,
    decode,
    encode,
)

BEFORE = (
    b'{"type":"decision","event_id":"e","placement":"home","timestamp_ms":1,"context":{},'
    b'"actions":[{"id":"a","features":{}},{"id":"b","features":{}}],"pmf":[0.5,0.5],"index":1,'
    b'"policy_version":"v@0","slot":0,"deferred":false,"traceparent":null,"v":1}'
)


def test_a_decision_from_before_fallbacks_reads_and_writes_as_it_did():
    decision = decode(BEFORE)
    assert decision.fallback is UNSET
    assert encode(decision) == BEFORE


def fallback(v):
    return Decision(
        event_id="e",
        placement="home",
        timestamp_ms=1,
        context=EMPTY,
        actions=(Action("a"), Action("b")),
        pmf=(1.0, 0.0),
        index=0,
        policy_version="v@0",
        fallback=True,
        v=v,
    )


def test_a_fallback_says_that_older_readers_do_not_know_it():
    decision = fallback(FALLBACK_VERSION)
    assert b'"fallback":true' in encode(decision)
    assert decode(encode(decision)) == decision
    assert FIRST_VERSION < decision.v <= SCHEMA_VERSION


def test_a_fallback_that_older_readers_would_learn_from_is_refused():
    with pytest.raises(ValueError, match="schema 2"):
        fallback(FIRST_VERSION)
    with pytest.raises(SchemaError, match="schema 2"):
        decode(BEFORE.replace(b'"traceparent"', b'"fallback":true,"traceparent"'))


def test_what_a_newer_schema_wrote_is_told_as_such():
    newer = BEFORE.replace(b'"v":1', b'"v":%d' % (SCHEMA_VERSION + 1))
    with pytest.raises(SchemaVersionError, match="upgrade"):
        decode(newer)
