import json
from pathlib import Path

import pytest

from bandit.errors import ReaderError
from bandit.ope.readers import open_reader

DATA = Path(__file__).parents[4].parent / "shared" / "data" / "dsjson"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA} here")


def event(**changes):
    return {
        "_label_cost": -1.5,
        "_label_probability": 0.25,
        "_label_Action": 2,
        "EventId": "e1",
        "Timestamp": "2021-02-04T16:31:29.2460000Z",
        "a": [2, 1],
        "p": [0.25, 0.75],
        "c": {
            "User": {"age": 3, "_secret": 1},
            "_synthetic": False,
            "_multi": [{"_tag": "x", "j": [{"hot": 1}]}, {"i": {"id": "y"}, "j": [{"hot": 0}]}],
        },
        "VWState": {"m": "v1"},
    } | changes


def read(path, *events):
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return list(open_reader("dsjson", path))


def test_an_event_becomes_a_decision(tmp_path):
    (found,) = read(tmp_path / "log", event())
    decision = found.decision
    assert found.reward == 1.5
    assert found.whole
    assert [action.id for action in decision.actions] == ["x", "y"]
    assert (decision.index, decision.pmf, decision.propensity) == (1, (0.75, 0.25), 0.25)
    assert json.loads(bytes(decision.context)) == {"User": {"age": 3}}
    assert json.loads(bytes(decision.action.features)) == {"j": [{"hot": 0}]}
    assert decision.timestamp_ms == 1612456289246
    assert (decision.event_id, decision.policy_version) == ("e1", "v1")


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"DeferredAction": False}, True),
        ({"DeferredAction": True}, False),
        ({"DeferredAction": True, "o": [{"v": 1.0, "ActionTaken": False}]}, False),
        ({"DeferredAction": True, "o": [{"EventId": "e1", "ActionTaken": True}]}, True),
        ({"DeferredAction": True, "o": [{"EventId": "e1", "DeferredAction": False}]}, True),
        ({"_skipLearn": True}, False),
        ({"_deferred": True, "DeferredAction": True}, False),
    ],
)
def test_a_deferred_event_counts_once_activated(tmp_path, changes, kept):
    assert len(read(tmp_path / "log", event(**changes))) == kept


@pytest.mark.parametrize(
    "bad",
    [
        {"p": [0.25]},
        {"p": [0.25, 0.25]},
        {"a": [3, 1]},
        {"pdrop": 0.5},
        {"c": {}},
        {"Timestamp": "yesterday"},
    ],
)
def test_a_bad_line_is_named(tmp_path, bad):
    with pytest.raises(ReaderError, match=r"log:2 is no event"):
        read(tmp_path / "log", event(), event(**bad))


def test_what_is_no_json_is_named(tmp_path):
    path = tmp_path / "log"
    path.write_text("\n{oops\n")
    with pytest.raises(ReaderError, match=r"log:2 is no event"):
        list(open_reader("dsjson", path))


@needs_data
@pytest.mark.parametrize(
    ("name", "n", "mean"), [("dsjson_cb.json", 23, 12 / 23), ("decisionservice.json", 3, 2 / 3)]
)
def test_real_logs_are_read(name, n, mean):
    found = list(open_reader("dsjson", DATA / name))
    assert len(found) == n
    assert sum(event.reward for event in found) / n == pytest.approx(mean)
    raw = [json.loads(line) for line in (DATA / name).read_text().splitlines()]
    for event, logged in zip(found, raw, strict=True):
        assert event.decision.propensity == pytest.approx(logged["_label_probability"], abs=1e-6)


@needs_data
def test_each_slot_is_a_decision():
    found = list(open_reader("dsjson", DATA / "ccb_data.json"))
    assert len(found) == 66
    first, second = found[2:4]
    assert (first.decision.event_id, second.decision.event_id) == ("0000001", "0000001")
    assert (first.decision.slot, second.decision.slot) == (0, 1)
    assert (first.reward, second.reward) == (0.6, 0.4)
    assert [len(event.decision.actions) for event in (first, second)] == [4, 3]
    assert second.decision.propensity == pytest.approx(1 / 3)
    assert json.loads(bytes(second.decision.context))["slot"] == [
        {"id": "SideBar"},
        {"size": "Medium", "position": "Right"},
    ]


@needs_data
def test_one_slot_can_be_asked_for():
    found = list(open_reader("dsjson", DATA / "ccb_data.json", slot=1))
    assert len(found) == 7
    assert {event.decision.slot for event in found} == {1}
