"""Caps in the catalogue and counts in snapshots: what was written before them still reads."""

import msgspec
import pytest

from streams.catalogue.state import Catalogue
from streams.errors import SchemaError
from streams.events import Creative, Placement, PolicySnapshot, RewardKind, decode, encode
from streams.events.placement import Caps, Seen, Shown
from streams.join.state import KindTerms, State, pack, terms_of, unpack

BEFORE = [
    b'{"type":"placement","name":"home","policy":{"name":"thompson"},"reward":{"kinds":{"click":'
    b'{"weight":1.0,"aggregation":"max","window_seconds":null},"reward":{"weight":1.0,'
    b'"aggregation":"sum","window_seconds":null}},"default":0.0,"window_seconds":600.0,'
    b'"grace_seconds":2.0,"minimum":0.0,"maximum":1.0},"learn":"realtime","deleted":false,"v":1}',
    b'{"type":"creative","id":"a","placement":"home","parts":{"headline":"Hi"},"status":"live",'
    b'"timestamp_ms":1,"features":{},"reason":null,"lineage":{},"v":1}',
    b'{"type":"policy","placement":"home","version":"v@1","spec":{"name":"uniform"},"partition":0,'
    b'"offset":1,"state":"cw==","timestamp_ms":1,"v":1}',
]
AFTER = [
    Placement(
        name="home", caps=Caps(per_user=3, per_day=9, total=99), seen=Seen(path="user.ads")
    ),
    Creative(
        id="a", placement="home", parts={}, status="live", timestamp_ms=1, caps=Caps(total=2)
    ),
    PolicySnapshot(
        placement="home", version="v@1", spec={"name": "uniform"}, partition=0, offset=1,
        state=b"s", timestamp_ms=1, shown={"a": Shown(3, 20_000, 1)},
    ),
]  # fmt: skip


@pytest.mark.parametrize("event", BEFORE)
def test_events_from_before_caps_read_and_write_as_they_did(event):
    assert encode(decode(event)) == event


@pytest.mark.parametrize("event", AFTER)
def test_events_with_caps_round_trip(event):
    assert decode(encode(event)) == event


@pytest.mark.parametrize("cap", ["0", "-1", "1.5", '"3"'])
def test_a_cap_that_is_none_is_refused(cap):
    event = BEFORE[1].replace(b'"v":1', b'"caps":{"total":%s},"v":1' % cap.encode())
    with pytest.raises(SchemaError, match=r"caps\.total"):
        decode(event)


def test_who_has_caps_is_known():
    catalogue = Catalogue()
    assert not catalogue.capped("home")
    catalogue.apply(decode(BEFORE[0]), 1)
    catalogue.apply(decode(BEFORE[1]), 1)
    assert not catalogue.capped("home")
    catalogue.apply(AFTER[1], 2)
    assert catalogue.capped("home")
    catalogue.apply(decode(BEFORE[1]), 3)
    catalogue.apply(AFTER[0], 3)
    assert catalogue.capped("home")


def test_a_joins_state_from_before_caps_of_rewards_still_reads():
    terms = terms_of(Placement(name="home"))
    old = msgspec.to_builtins(terms)
    old = [*old[:8], {name: kind[:3] for name, kind in old[8].items()}]
    state = [0, 0, 0, 0, [old], [], [], State(0, 0, 0, 0, [], [], []).v]
    assert unpack(msgspec.msgpack.encode(state)).terms == [terms]
    capped = msgspec.structs.replace(terms, kinds={"sale": KindTerms(1.0, "sum", 5, 200.0)})
    assert unpack(pack(State(0, 0, 0, 0, [capped], [], []))).terms == [capped]


def test_a_kinds_cap_is_left_out_where_there_is_none():
    assert b"cap" not in msgspec.json.encode(RewardKind())
    assert msgspec.json.decode(b'{"cap": 5}', type=RewardKind).cap == 5.0
