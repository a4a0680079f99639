import json

import pytest

from bandit.errors import ReaderError
from bandit.features.flatten import flatten, vw_text
from bandit.ope.readers import open_reader

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


def features(raw):
    return json.loads(bytes(raw))


def test_events_with_a_label_are_read(log):
    first, second = open_reader("vw", log)
    decision = first.decision
    assert (first.reward, decision.propensity, decision.index) == (1.5, 0.25, 1)
    assert (decision.event_id, second.decision.event_id) == ("first", "1")
    assert features(decision.context) == {
        "user": {"age": 0.5, "plan=free": 1.0},
        "time": {"hour": 1.0},
    }
    assert [action.id for action in decision.actions] == ["action 0", "x"]
    assert features(decision.actions[0].features) == {"ad": {"a": 2.0}, "size": {"wide": 1.5}}
    assert (second.reward, second.decision.pmf) == (-1.0, (0.5, 0.5))
    assert features(second.decision.action.features) == {" ": {"only": 1.0}}
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
    assert features(event.decision.context) == json.loads(context)


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
