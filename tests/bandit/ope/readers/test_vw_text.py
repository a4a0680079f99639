import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from vowpal_wabbit_next import TextFormatParser, Workspace

from bandit.errors import ReaderError
from bandit.features.flatten import flatten, vw_text
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.readers import open_reader
from bandit.ope.readers.lines import NO_TEXT

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
        ("0:x:0.5 | a\n", "1 is no cb_adf event: the cost is 'x'"),
        ("0:1:0 | a\n", "the probability is 0"),
        ("0:1 | a\n", "a cost without a probability"),
        ("| a\nshared | b\n\n", "only the first line"),
        ("0:1:0.5 | a\n0:1:0.5 | b\n\n", "2 of its actions have a label"),
        ("0:1:0.5 0:1:0.5 | a\n", "is no label"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, text, words):
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(ReaderError, match=words):
        list(open_reader("vw", path))


REFUSED = [
    ("0:1: .5 | a", "is no label"),
    ("0:1:.5| a", "touches the bar"),
    ("shared| a", "touches the bar"),
    ("0:1:.5\t| a", "white space before the bar"),
    ("0:1:.5 weird | a", "is no label"),
    ("0:1,5:.5 | a", "the cost is '1,5'"),
    ("0:1:50% | a", "the probability is '50%'"),
    ("0:1_0:.5 | a", "the cost is '1_0'"),
    ("0:nan:.5 | a", "the cost is 'nan'"),
    ("0:inf:.5 | a", "the cost is 'inf'"),
    ("0:1e400:.5 | a", "the cost is '1e400'"),
    ("0:1:2 | a", "the probability is 2.0"),
    ("0 | a", "is no label"),
    ("shared:0 | a", "no label of an action"),
    ("ccb slot 0:1:.5 | a", "text for ccb is not read; read are cb_adf labels"),
    ("slates slot 0:.5 | a", "text for slates is not read; read are cb_adf labels"),
    ("ca 1:2:.5 | a", "text for ca is not read; read are cb_adf labels"),
    ("|x a:1e+", "expected a finite number or a text"),
    ("|x a:12abc", "expected a finite number or a text"),
    ("|x a:nan", "expected a finite number or a text"),
    ("|x a:e", "expected a finite number or a text"),
    ("|x a:-", "expected a finite number or a text"),
    ("|x a: b", "the feature 'a:' has no value"),
    ("|x :3", "the feature ':3' has no name"),
    ("|x:red a", "the factor of namespace 'x' is 'red'"),
    ("|x:2:3 a", "the factor of namespace 'x' is '2:3'"),
    ("|:2 a", "has no name"),
    ("|x a:red|y b", "touches a bar"),
    ("|x a:1 a:red", "has a number and a text"),
    ("|x:2 a:red", "a text in a namespace with a factor"),
    ("|x a:1e16", "at most 1e"),
    ("  ", "a line of white space alone"),
    ("|x a\rb", "carriage return"),
    ("|x a\udcff", "utf-8"),
    ("1:1:1 'a'b 'c |x a", "is no label"),
]


@pytest.mark.parametrize(("line", "words"), REFUSED)
def test_what_vw_reads_as_nobody_meant_it_is_refused_by_line(tmp_path, line, words):
    path = tmp_path / "log"
    path.write_bytes(f"|x first\n{line}\n\n".encode(errors="surrogateescape"))
    with pytest.raises(ReaderError, match=f"log:2 is no cb_adf event: .*{re.escape(words)}"):
        list(open_reader("vw", path))


@pytest.mark.parametrize(
    "text", ["1:2:0.4 | a b\n2:0:0.6 | a c\n", "1:2:0.4 | a b\n\n2:0:0.6 | a c\n"]
)
def test_text_without_actions_is_refused_with_what_is_read(tmp_path, text):
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(ReaderError, match=r"Text for --cb.* is not read.*read are cb_adf labels"):
        list(open_reader("vw", path))


def test_a_log_with_line_breaks_of_windows_is_the_same_log(log, tmp_path):
    other = tmp_path / "windows.vw"
    other.write_bytes(b"\xef\xbb\xbf" + EVENTS.replace("\n", "\r\n").encode())
    assert list(open_reader("vw", other)) == list(open_reader("vw", log))


def test_skipped_events_are_counted_as_a_whole(tmp_path):
    path = tmp_path / "log"
    path.write_text("0:x:.5 | a\n| b\n| c:1x\n\n0:-1:.5 | a\n| b\n\n| a\n| b\n\n0:1:.5 | a\n")
    found = open_reader("vw", path, on_bad_row="skip")
    (event,) = found
    assert (event.decision.event_id, event.reward) == ("1", 1.0)
    assert [(one.reason, one.count, one.first) for one in found.skipped] == [
        ("event_invalid", 1, f"{path}:1"),
        ("no_label", 1, f"{path}:8"),
        ("one_action", 1, f"{path}:11"),
    ]


NUMBERS = ["1", "-1", "+1", ".5", "5.", "1e3", "1e", "2E", "-1e", "5.e2", "0x10", "-0X1p3", "007"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_those_of_vw(tmp_path, number):
    parser = TextFormatParser(Workspace(["--cb_explore_adf", "--quiet"]))
    line = f"0:{number}:.5 |x a:{number}"
    parsed = parser.parse_line(line)
    path = tmp_path / "log"
    path.write_text(f"{line}\n|x b\n")
    (event,) = open_reader("vw", path)
    assert -event.reward == parsed.get_label().label[1]
    assert decoded(event.decision.action.features)["x"]["a"] == parsed[ord("x")].values[0]


def test_features_are_those_of_vw(tmp_path):
    """Two lines are the same to the reader if and only if they are to Vowpal Wabbit."""
    parser = TextFormatParser(Workspace(["--cb_explore_adf", "--quiet"]))
    lines = ["|x a", "|x a:1", "|x\ta", "||x a", "|x a:red", "|x a:blue", "|x a:r:d", "|x a b:2"]
    lines += ["|x  a   b:2", "|x a b:2\r", "|x a:1|y b", "|y a", "|x:2 a", "|x a:2", "|x a:0x2"]
    path = tmp_path / "log"
    path.write_bytes("".join(f"shared {line}\n0:1:1 | z\n\n" for line in lines).encode())
    ours = [bytes(event.decision.context) for event in open_reader("vw", path)]
    theirs = []
    for line in lines:
        groups = [parser.parse_line(line)[ord(name)] for name in ("x", "y")]
        theirs.append([(group.indices, group.values) for group in groups])
    for mine, its in zip(ours, theirs, strict=True):
        assert [mine == other for other in ours] == [its == other for other in theirs]


def test_figures_are_those_of_a_plain_reading(tmp_path):
    rng = np.random.default_rng(9)
    text, rows = "", []
    for _ in range(300):
        pmf = rng.dirichlet([1.0, 2.0, 3.0])
        chosen = int(rng.choice(3, p=pmf))
        reward = float(rng.random() < 0.1 + 0.2 * chosen)
        rows.append((chosen, pmf[chosen], reward))
        text += f"shared |u a:{rng.random():.3f}\n"
        for n in range(3):
            label = f"0:{-reward}:{float(pmf[n])!r} " if n == chosen else ""
            text += f"{label}'ad{n} |ad x{n}\n"
        text += "\n"
    path = tmp_path / "log"
    path.write_text(text)
    chosen, propensity, reward = np.array(rows).T
    report = evaluate(
        lambda: open_reader("vw", path),
        ["uniform", "constant:ad2"],
        Options(estimators=("ips", "snips")),
    )
    targets = {"logged": propensity, "uniform": np.full(300, 1 / 3), "constant:ad2": chosen == 2}
    for found in report.policies:
        weight = targets[found.policy] / propensity
        ips, snips = found.estimates
        assert ips.value == pytest.approx(np.mean(weight * reward), abs=1e-9)
        assert snips.value == pytest.approx(np.sum(weight * reward) / np.sum(weight), abs=1e-9)


words = st.sampled_from(
    ["shared", "0:1:.5", "1:-2:0.25", "|x", "|", "a", "a:1", "b:red", "c:1e", "'t", ":", "|y:2"]
)
pieces = st.lists(st.one_of(words, st.sampled_from(["\n", "\n\n", "\r\n", "\t"])), max_size=25)


@given(st.one_of(st.binary(max_size=60), pieces.map(lambda found: " ".join(found).encode())))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_are_read_or_counted(tmp_path, text):
    path = tmp_path / "log"
    assume(not text.startswith(tuple(NO_TEXT)))
    path.write_bytes(text)
    found = open_reader("vw", path, on_bad_row="skip")
    read = list(found)
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    blocks = sum(
        bool(line.rstrip(b"\r")) and (not place or not lines[place - 1].rstrip(b"\r"))
        for place, line in enumerate(lines)
    )
    assert len(read) + sum(one.count for one in found.skipped) == blocks
