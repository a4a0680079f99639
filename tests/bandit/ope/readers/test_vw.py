import json
from pathlib import Path

import pytest

from bandit.errors import ReaderError
from bandit.features.flatten import flatten, vw_text
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
        None,
    ],
)
def test_a_bad_line_is_named(tmp_path, bad):
    path = tmp_path / "log"
    line = "{oops" if bad is None else json.dumps(event(**bad))
    path.write_text(f"{json.dumps(event())}\n{line}\n")
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


EVENTS = """shared 'first |user age:0.5 plan=free |time hour
 |ad a:2 |size:0.5 wide:3
0:-1.5:0.25 'x |ad b

shared |user plan=paid
0:1:0.5 | only:1
| other

shared | to be predicted
| a
| b
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.vw"
    path.write_text(EVENTS)
    return path


def decoded(raw):
    return json.loads(bytes(raw))


def test_events_with_a_label_are_read(log):
    first, second = open_reader("vw", log)
    decision = first.decision
    assert (first.reward, decision.propensity, decision.index) == (1.5, 0.25, 1)
    assert (decision.event_id, second.decision.event_id) == ("first", "1")
    assert decoded(decision.context) == {
        "user": {"age": 0.5, "plan=free": 1.0},
        "time": {"hour": 1.0},
    }
    assert [action.id for action in decision.actions] == ["action 0", "x"]
    assert decoded(decision.actions[0].features) == {"ad": {"a": 2.0}, "size": {"wide": 1.5}}
    assert (second.reward, second.decision.pmf) == (-1.0, (0.5, 0.5))
    assert decoded(second.decision.action.features) == {" ": {"only": 1.0}}
    assert not first.whole


def test_an_event_needs_no_shared_line_nor_a_last_empty_one(tmp_path):
    path = tmp_path / "log"
    path.write_text("| a\n1:0:1.0 | b")
    (event,) = open_reader("vw", path)
    assert event.decision.index == 1
    assert bytes(event.decision.context) == b"{}"


def test_what_we_write_as_vw_text_comes_back(tmp_path):
    context = b'{"user":{"age":0.5,"plan=free":1.0}}'
    path = tmp_path / "log"
    text = vw_text(flatten(context, namespace="context"))
    path.write_text(f"shared {text}\n0:0:0.5 |ad a\n|ad b\n")
    (event,) = open_reader("vw", path)
    assert decoded(event.decision.context) == json.loads(context)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no bar\n", "1 is no cb_adf event: a line without"),
        ("0:x:0.5 | a\n", "1 is no cb_adf event: could not convert"),
        ("0:1:0 | a\n", "the probability is 0"),
        ("0:1 | a\n", "expected action:cost:probability"),
        ("| a\nshared | b\n\n", "only the first line"),
        ("0:1:0.5 | a\n0:1:0.5 | b\n\n", "2 of its actions have a label"),
        ("| a:b\n", "could not convert"),
        ("0:1:0.5 0:1:0.5 | a\n", "is no label"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, text, words):
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(ReaderError, match=words):
        list(open_reader("vw", path))


@pytest.mark.parametrize("line", ["[" * 100_000, '{"c":' * 50_000, '{"EventId":1e999}', "9" * 5000])
def test_a_deep_or_endless_line_is_named(tmp_path, line):
    path = tmp_path / "log"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ReaderError, match="log:2 is no event of decision-service JSON"):
        list(open_reader("dsjson", path))
