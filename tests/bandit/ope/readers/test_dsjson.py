import codecs
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from vowpal_wabbit_next import DSJsonFormatParser, Workspace

from bandit.errors import EstimateError, ReaderError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.readers import open_reader
from bandit.ope.readers.lines import NO_TEXT
from streams.events import decode, encode

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


def reasons(found):
    return {one.reason: one.count for one in found.skipped}


def three(**changes):
    """An event with three actions, of which the second was chosen."""
    multi = [{"i": {"constant": 1, "id": f"ad{n}"}, "A": {"a": n}} for n in range(3)]
    fields = {
        "_label_cost": -1.0,
        "_label_probability": 0.25,
        "_label_Action": 2,
        "_labelIndex": 1,
        "EventId": "e3",
        "a": [2, 1, 3],
        "p": [0.25, 0.5, 0.25],
        "c": {"U": {"x": 1}, "_multi": multi},
    } | changes
    return {key: value for key, value in fields.items() if value is not None}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[a checkpoint of the joiner]", "not_an_event"),
        ("42", "not_an_event"),
        ('{"RewardValue": 1.0, "EventId": "e", "Observations": []}', "reward_without_decision"),
        ('{"EventId": "e", "ActionTaken": true}', "no_actions"),
        (json.dumps(three(a=None)), "no_actions"),
        (json.dumps(three(a=[])), "no_actions"),
        (json.dumps(three(_label_cost=None)), "no_label"),
        (json.dumps(three(_skipLearn=True)), "not_activated"),
    ],
)
def test_a_line_that_is_no_decision_is_left_out_and_counted(tmp_path, line, reason):
    path = tmp_path / "log"
    path.write_text(f"{json.dumps(event())}\n{line}\n\n{json.dumps(event())}\n")
    found = open_reader("dsjson", path)
    assert len(list(found)) == 2
    assert [(one.reason, one.first) for one in found.skipped] == [(reason, f"{path}:2")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pdrop": 0.5}, "thinned out"),
        ({"c": {"_multi": [{"_slot_id": 0}]}}, "slates"),
        ({"_label_ca": {"action": 1.0}}, "continuous actions"),
        ({"_label": {"Action": 1}}, "_label is not read"),
        ({"p": None, "_label_probability": None}, "neither p nor _label_probability"),
        ({"_label_probability": 0}, "the probability is 0"),
        ({"_label_probability": 1.5}, "the probability is 1.5"),
        ({"_label_probability": "0.5"}, "expected a number"),
        ({"_label_cost": "1"}, "_label_cost is '1'"),
        ({"_label_cost": "1", "_original_label_cost": "1-2"}, "_original_label_cost is '1-2'"),
        ({"_labelIndex": 3}, "_labelIndex is 3, which a does not have"),
        ({"a": [2, 2, 3]}, "expected distinct numbers"),
        ({"a": [2, 1, 4]}, "expected distinct numbers of 3 actions"),
        ({"p": [0.25, 0.5, 0.5]}, "p is no pmf"),
        ({"p": [-0.25, 1.0, 0.25]}, "p is no pmf"),
        ({"c": None}, "it has no 'c'"),
        ({"Timestamp": "1969-01-01"}, "expected a time after 1970"),
        ({"Timestamp": 5}, "Timestamp is 5"),
        ({"EventId": "x" * 300}, "event_id has 300 characters"),
        ({"c": {"U": {"x": [True]}, "_multi": [{}] * 3}}, "an array holds numbers"),
    ],
)
def test_an_event_that_cannot_be_read_is_refused_with_what_is_wrong(tmp_path, changes, words):
    path = tmp_path / "log"
    path.write_text(json.dumps(three(**changes)))
    with pytest.raises(ReaderError, match=f"log:1 is no event of decision-service JSON: .*{words}"):
        list(open_reader("dsjson", path))


def test_bad_lines_can_be_skipped_and_are_counted(tmp_path):
    path = tmp_path / "log"
    lines = [three(), three(p=[1.0]), three(p=[1.0, 1.0]), three(pdrop=0.1)]
    path.write_text(
        "".join(map(json.dumps, lines[:1])) + "\n{oops\n" + "\n".join(map(json.dumps, lines))
    )
    found = open_reader("dsjson", path, on_bad_row="skip")
    assert len(list(found)) == 2
    assert reasons(found) == {"not_json": 1, "event_invalid": 2, "thinned_out": 1}


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("length", [1, 40, 200])
def test_a_last_line_that_is_cut_off_is_counted(tmp_path, end, length):
    path = tmp_path / "log"
    path.write_text(f"{json.dumps(three())}\n{json.dumps(three())[:length]}{end}")
    found = open_reader("dsjson", path)
    assert len(list(found)) == 1
    assert reasons(found) == {"cut_off": 1}


def test_byte_order_marks_and_line_breaks_of_windows_are_no_error(tmp_path):
    path = tmp_path / "log"
    line = codecs.BOM_UTF8 + json.dumps(three()).encode() + b"\r\n"
    path.write_bytes(line + b"\r\n" + line)
    found = open_reader("dsjson", path)
    assert len(list(found)) == 2
    assert found.skipped == ()


@pytest.mark.parametrize(
    ("start", "words"), [(b"\xff\xfe{\x00", "UTF-16"), (b"\x1f\x8b\x08", "compressed by gzip")]
)
def test_a_file_that_is_no_text_is_named_so(tmp_path, start, words):
    (tmp_path / "log").write_bytes(start)
    with pytest.raises(ReaderError, match=words):
        list(open_reader("dsjson", tmp_path / "log", on_bad_row="skip"))


LAYOUTS = [
    # ranked, by action from 1, by action from 0; each with and without what only repeats it
    three(),
    three(a=[1, 2, 3], p=[0.5, 0.25, 0.25]),
    three(a=[0, 1, 2], p=[0.5, 0.25, 0.25], _label_Action=None),
    three(a=[2, 0, 1], p=[0.25, 0.5, 0.25], _label_Action=None),
    three(p=None),
    three(_labelIndex=2, _label_Action=3, a=[3, 1, 2]),
    three(a=[1, 2], p=[0.75, 0.25]),
    three(a=[1, 0], p=[0.25, 0.75]),
    three(_label_probability=0.125),
    three(_labelIndex=0, _label_Action=1, _label_probability=0.5),
]


@pytest.mark.parametrize("line", LAYOUTS)
def test_what_was_chosen_is_what_vw_takes_for_chosen(tmp_path, line):
    (found,) = read(tmp_path / "log", line)
    parser = DSJsonFormatParser(Workspace(["--cb_explore_adf", "--dsjson", "--quiet"]))
    labels = [example.get_label().label for example in parser.parse_json(json.dumps(line))[1:]]
    ((number, (_, cost, probability)),) = [(n, known) for n, known in enumerate(labels) if known]
    assert found.decision.action.id == f"ad{number}"
    assert (found.decision.propensity, -found.reward) == (probability, cost)


@pytest.mark.parametrize(
    ("changes", "pmf", "index", "whole"),
    [
        ({}, (0.5, 0.25, 0.25), 1, True),
        ({"_labelIndex": None}, (0.5, 0.25, 0.25), 1, True),
        ({"_labelIndex": None, "_label_Action": None}, (0.5, 0.25, 0.25), 1, True),
        ({"a": [1, 2, 3], "p": [0.5, 0.25, 0.25]}, (0.5, 0.25, 0.25), 1, True),
        ({"a": [0, 1, 2], "p": [0.5, 0.25, 0.25]}, (0.5, 0.25, 0.25), 1, True),
        ({"_label_probability": None}, (0.5, 0.25, 0.25), 1, True),
        ({"_label_probability": 0.5}, (0.25, 0.5, 0.25), 1, False),
        ({"p": None}, (0.375, 0.25, 0.375), 1, False),
        ({"a": [1, 2], "p": [0.75, 0.25]}, (0.75, 0.25), 1, True),
    ],
)
def test_layouts_of_a_pmf(tmp_path, changes, pmf, index, whole):
    (found,) = read(tmp_path / "log", three(**changes))
    assert found.decision.pmf == pmf
    assert (found.decision.index, found.whole) == (index, whole)


@pytest.mark.parametrize("label", [0.33, 0.3333, 1 / 3, 0.333333])
@pytest.mark.parametrize("p", [0.33, 0.333, 0.333333, 1 / 3])
def test_a_third_may_be_written_with_few_digits(tmp_path, label, p):
    (found,) = read(tmp_path / "log", three(_label_probability=label, p=[p] * 3))
    assert found.whole
    assert found.decision.propensity == label
    assert sum(found.decision.pmf) == pytest.approx(1.0, abs=1e-12)
    assert found.decision.pmf[0] == found.decision.pmf[2]


def test_the_label_has_the_digits_that_count(tmp_path):
    (found,) = read(tmp_path / "log", three(_label_probability=0.24999, p=[0.25, 0.5, 0.25]))
    assert found.decision.propensity == 0.24999
    assert found.whole
    assert sum(found.decision.pmf) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2024-03-01T12:00:00.0000000+02:00", 1709287200000),
        ("2024-03-01T12:00:00+02:00", 1709287200000),
        ("2024-03-01T10:00:00Z", 1709287200000),
        ("2024-03-01T10:00:00", 1709287200000),
        ("2024-03-01 10:00:00z", 1709287200000),
        ("", 0),
        ("2024-03-01T04:30:00.25-05:30", 1709287200250),
        ("2024-03-01T10:00:00.1239999Z", 1709287200123),
        ("0001-01-01T00:00:00", 0),
        (None, 0),
    ],
)
def test_times_are_in_utc(tmp_path, text, at_ms):
    (found,) = read(tmp_path / "log", three(Timestamp=text))
    assert found.decision.timestamp_ms == at_ms


def test_lines_without_an_id_get_one_from_file_and_line(tmp_path):
    lines = [three(EventId=None), three(EventId=None), three(EventId=""), three(EventId=7)]
    path = tmp_path / "log"
    ids = [event.decision.event_id for event in read(path, *lines)]
    assert ids == [event.decision.event_id for event in open_reader("dsjson", path)]
    assert len(set(ids)) == 4
    assert ids[0].startswith("log:1:")
    assert ids[3] == "7"
    (other,) = read(tmp_path / "log", three(EventId=None, _label_cost=0.0))
    assert other.decision.event_id != ids[0]


def test_actions_are_named_by_what_the_log_has(tmp_path):
    multi = [
        {"_tag": "tagged", "i": {"id": "other"}},
        {"i": {"id": 0, "constant": 1, "colour": "red"}, "_text": "big big sale"},
        {"id": "plain", "i": {"price": 3}, "_secret": 1},
        {"_tag": 7},
        {"i": 5},
    ]
    context = {"_text": "hello", "_multi": multi}
    (found,) = read(tmp_path / "log", three(a=[2, 1, 3, 4, 5], p=[0.25, 0.75, 0, 0, 0], c=context))
    actions = found.decision.actions
    assert [action.id for action in actions] == ["tagged", "0", "plain", "7", "action 4"]
    assert [json.loads(bytes(action.features)) for action in actions] == [
        {},
        {"i": {"colour": "red"}, "big": 2, "sale": 1},
        {"id": "plain", "i": {"price": 3}},
        {},
        {"i": 5},
    ]
    assert json.loads(bytes(found.decision.context)) == {"hello": 1}


def apprentice(number, matched, clicked):
    """The apprentice would have shown `ad1` when it did not match; `ad0` was shown."""
    return three(
        EventId=f"e{number}",
        _label_cost=-float(matched),
        _original_label_cost=-float(clicked),
        _labelIndex=int(not matched),
        _label_Action=1 + (not matched),
        _label_probability=0.5 if matched else 0.25,
        a=[1, 2, 3] if matched else [2, 1, 3],
        p=[0.5, 0.25, 0.25] if matched else [0.25, 0.5, 0.25],
    )


def test_an_apprentices_log_holds_what_the_first_action_earned(tmp_path):
    path = tmp_path / "log"
    rng = np.random.default_rng(1)
    lines = [apprentice(n, rng.random() < 0.5, rng.random() < 0.05) for n in range(2000)]
    found = read(path, *lines)
    assert {(event.decision.index, event.decision.pmf) for event in found} == {(0, (1.0, 0.0, 0.0))}
    earned = np.mean([-line["_original_label_cost"] for line in lines])
    report = evaluate(
        lambda: open_reader("dsjson", path),
        ["constant:ad0", "constant:ad1"],
        Options(estimators=("snips",)),
    )
    logged, first, second = report.policies
    assert logged.estimates[0].value == pytest.approx(earned, abs=1e-12)
    assert first.estimates[0].value == pytest.approx(earned, abs=1e-12)
    assert first.diagnostics.verdict.usable
    assert not second.diagnostics.verdict.usable
    assert "the log of an apprentice" in report.warnings[0]


def test_a_log_whose_mode_changed_is_to_be_split(tmp_path):
    path = tmp_path / "log"
    online = three(_label_cost=-0.5, _original_label_cost=-0.5)
    lines = [apprentice(1, True, False), apprentice(2, False, False), online]
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(ReaderError, match="split the file where the learning mode changed"):
        list(open_reader("dsjson", path, on_bad_row="skip"))


def test_a_log_whose_costs_agree_is_no_apprentices(tmp_path):
    (found,) = read(tmp_path / "log", three(_label_cost=-0.6, _original_label_cost=-0.6000000238))
    assert (found.decision.index, found.reward) == (1, 0.6000000238)


def ccb(outcomes, slots=({"_id": "top"}, {"_id": "side"}), **changes):
    multi = [{"_tag": f"ad{n}"} for n in range(4)]
    context = {"U": {"x": 1}, "_multi": multi, "_slots": list(slots)}
    return {"EventId": "e", "c": context, "_outcomes": outcomes} | changes


def outcome(a, p, cost=-1.0, **changes):
    return {"_label_cost": cost, "_a": a, "_p": p} | changes


def test_all_features_of_a_slot_are_read(tmp_path):
    slots = [
        {"_id": "top", "sj": [{"size": 1}], "P": {"left": True}, "wide": 2, "_ignored": 3},
        {"where": "side"},
    ]
    outcomes = [outcome([1, 0, 2, 3], [0.25] * 4), outcome([0, 2, 3], [1 / 3] * 3)]
    first, second = read(tmp_path / "log", ccb(outcomes, slots))
    assert json.loads(bytes(first.decision.context)) == {
        "U": {"x": 1},
        "slot": [{"id": "top"}, {"size": 1}, {"P": {"left": True}, "wide": 2}],
    }
    assert json.loads(bytes(second.decision.context))["slot"] == [{"where": "side"}]


def test_a_slot_of_the_context_keeps_its_place(tmp_path):
    line = ccb([outcome([1, 0], [0.5, 0.5])])
    line["c"]["slot"] = {"mine": 1}
    (found,) = read(tmp_path / "log", line)
    known = json.loads(bytes(found.decision.context))
    assert (known["slot"], known["slot_"]) == ({"mine": 1}, [{"id": "top"}])


@pytest.mark.parametrize("scalar", [False, True])
def test_a_slot_may_log_its_chosen_action_alone(tmp_path, scalar):
    given = [(2, 0.5), (0, 0.25)]
    outcomes = [outcome(a, p, _o=[1.0]) if scalar else outcome([a], [p], _o=1.0) for a, p in given]
    slots = [{"_id": "top"}, {"_id": "side", "_inc": [0, 2, 3]}]
    first, second = read(tmp_path / "log", ccb(outcomes, slots))
    assert [action.id for action in first.decision.actions] == ["ad0", "ad1", "ad2", "ad3"]
    assert (first.decision.index, first.decision.propensity, first.whole) == (2, 0.5, False)
    # what the first slot shows cannot be shown again, and the second takes no others
    assert [action.id for action in second.decision.actions] == ["ad0", "ad3"]
    assert (second.decision.action.id, second.decision.propensity) == ("ad0", 0.25)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (ccb([outcome([1, 0], [0.5])]), "_p has 1 entries for 2 actions"),
        (ccb([outcome([4], [0.5])]), "the chosen action is number 4"),
        (ccb([outcome([4, 0], [0.5, 0.5])]), "expected distinct numbers of 4 actions, from 0"),
        (ccb([outcome([0], [1.0])] * 3), "IndexError"),
        (ccb([outcome([1], [1.0], _original_label_cost=0.0)]), "it has no '_ba'"),
    ],
)
def test_slots_that_cannot_be_read_are_refused(tmp_path, line, words):
    path = tmp_path / "log"
    path.write_text(json.dumps(line))
    with pytest.raises(ReaderError, match=f"log:1 is no event.*{words}"):
        list(open_reader("dsjson", path))


def test_an_apprentice_shows_the_baseline_of_each_slot(tmp_path):
    outcomes = [
        outcome([1, 0, 2, 3], [0.25] * 4, 0.0, _original_label_cost=-1.0),
        outcome([3, 0, 2], [0.5, 0.25, 0.25], -1.0, _original_label_cost=-0.5),
    ]
    found = read(tmp_path / "log", ccb(outcomes, _ba=[2, 3]))
    assert [event.decision.action.id for event in found] == ["ad2", "ad3"]
    assert [(event.reward, event.decision.propensity) for event in found] == [
        (1.0, 1.0),
        (0.5, 1.0),
    ]


def test_figures_are_those_of_a_plain_reading(tmp_path):
    rng = np.random.default_rng(7)
    lines = []
    for number in range(400):
        pmf = rng.dirichlet([1.0, 2.0, 3.0])
        chosen = int(rng.choice(3, p=pmf))
        order = [chosen, *(n for n in range(3) if n != chosen)]
        layout = number % 3
        order = order if layout == 0 else [0, 1, 2]
        lines.append(
            three(
                EventId=f"e{number}",
                _label_cost=-float(rng.random() < 0.2 + 0.2 * chosen),
                _labelIndex=chosen,
                _label_Action=chosen + 1 if layout < 2 else None,
                _label_probability=float(pmf[chosen]),
                a=[n + (layout < 2) for n in order],
                p=[float(pmf[n]) for n in order],
            )
        )
    path = tmp_path / "log"
    read(path, *lines)

    chosen = np.array([line["_labelIndex"] for line in lines])
    propensity = np.array([line["_label_probability"] for line in lines])
    reward = np.array([-line["_label_cost"] for line in lines])
    targets = {"logged": propensity, "uniform": np.full(400, 1 / 3), "constant:ad2": chosen == 2}
    report = evaluate(
        lambda: open_reader("dsjson", path),
        ["uniform", "constant:ad2"],
        Options(estimators=("ips", "snips")),
    )
    for found in report.policies:
        weight = targets[found.policy] / propensity
        ips, snips = found.estimates
        assert ips.value == pytest.approx(np.mean(weight * reward), abs=1e-9)
        assert snips.value == pytest.approx(np.sum(weight * reward) / np.sum(weight), abs=1e-9)


@pytest.mark.parametrize(
    "outcomes",
    [
        [outcome([2, 0, 1, 3], [0.25] * 4, -1.0), outcome([1, 0, 3], [0.5, 0.25, 0.25], 0.0)],
        [outcome(2, 0.5, -1.0, _o=[1.0]), outcome([0], [0.25], -0.5, _o=[])],
    ],
)
def test_what_slots_show_is_what_vw_takes_for_shown(tmp_path, outcomes):
    line = ccb(outcomes)
    found = read(tmp_path / "log", line)
    parser = DSJsonFormatParser(Workspace(["--ccb_explore_adf", "--dsjson", "--quiet"]))
    labels = [example.get_label().outcome for example in parser.parse_json(json.dumps(line))]
    for event, (cost, pmf) in zip(found, filter(None, labels), strict=True):
        assert (event.reward, event.decision.action.id) == (-cost, f"ad{pmf[0][0]}")
        assert event.decision.propensity == pmf[0][1]


def test_figures_of_slots_are_those_of_a_plain_reading(tmp_path):
    rng = np.random.default_rng(8)
    lines, plain = [], {0: [], 1: []}
    for number in range(300):
        outcomes, left = [], [0, 1, 2, 3]
        for slot in (0, 1):
            pmf = rng.dirichlet([1.0] * len(left))
            order = [int(n) for n in rng.choice(left, len(left), replace=False, p=pmf)]
            p = [float(pmf[left.index(n)]) for n in order]
            cost = -float(rng.random() < 0.1 + 0.2 * order[0])
            alone = number % 2
            known = (order[0], p[0]) if alone else (order, p)
            outcomes.append(outcome(*known, cost, _o=[-cost]))
            plain[slot].append((order[0] == 2, 2 in left, p[0], -cost))
            left.remove(order[0])
        lines.append(ccb(outcomes, EventId=f"e{number}"))
    path = tmp_path / "log"
    read(path, *lines)
    for slot, rows in plain.items():
        matched, possible, propensity, reward = np.array(rows, dtype=float).T
        report = evaluate(
            lambda slot=slot: open_reader("dsjson", path, slot=slot),
            ["constant:ad2"],
            Options(estimators=("ips", "snips")),
        )
        weight = matched * possible / propensity
        ips, snips = report.policies[1].estimates
        assert ips.value == pytest.approx(np.mean(weight * reward), abs=1e-9)
        assert snips.value == pytest.approx(np.sum(weight * reward) / np.sum(weight), abs=1e-9)


def test_the_same_action_may_be_offered_twice(tmp_path):
    multi = [{"i": {"id": "ad0"}, "A": {"a": 1}}] * 2 + [{"i": {"id": "ad2"}}]
    path = tmp_path / "log"
    read(path, *(three(EventId=f"e{n}", c={"_multi": multi}) for n in range(30)))
    report = evaluate(
        lambda: open_reader("dsjson", path),
        ["vw", "thompson", "constant:ad0"],
        Options(estimators=("ips",)),
    )
    # it was chosen at one of its two places, as likely at each
    assert report.policies[3].diagnostics.mean_weight == pytest.approx(0.5 / 0.25)
    assert report.policies[1].estimates[0].value is not None


def test_a_log_without_decisions_says_what_was_left_out(tmp_path):
    path = tmp_path / "log"
    path.write_text("not,a\nlog,1\n")
    with pytest.raises(EstimateError, match=r"no decision.*2 rows were skipped: not_an_event"):
        evaluate(lambda: open_reader("dsjson", path), ["uniform"])


LINES = [json.dumps(line).encode() for line in (*LAYOUTS, event(), ccb([outcome([0], [1.0])]))]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 4) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)


@st.composite
def mutilated(draw):
    """A line with one of its fields, or of its bytes, replaced."""
    line = draw(st.sampled_from(LINES))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(line)))
        return line[:place] + draw(st.binary(max_size=4)) + line[place + draw(st.integers(0, 4)) :]
    fields = json.loads(line)
    inner = draw(st.sampled_from([fields, fields["c"], *fields.get("_outcomes", [])]))
    inner[draw(st.sampled_from([*inner, "_skipLearn", "_ba", "pdrop", "_original_label_cost"]))] = (
        draw(JSON)
    )
    return json.dumps(fields).encode()


@given(st.lists(st.one_of(mutilated(), st.binary(max_size=20)), max_size=4))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_are_read_or_counted(tmp_path, lines):
    text = b"\n".join(lines)
    assume(not text.startswith(tuple(NO_TEXT)))
    path = tmp_path / "log"
    path.write_bytes(text)
    found = open_reader("dsjson", path, on_bad_row="skip")
    decisions = [event.decision for event in found]
    # what was read can be written to the log, and read from it
    assert [decode(encode(decision)) for decision in decisions] == decisions
    written = sum(bool(line.removeprefix(codecs.BOM_UTF8).strip()) for line in text.split(b"\n"))
    assert len(decisions) + sum(one.count for one in found.skipped) == written


@pytest.mark.parametrize("line", ["[" * 100_000, '{"c":' * 50_000, '{"EventId":1e999}', "9" * 5000])
def test_a_deep_or_endless_line_is_left_out(tmp_path, line):
    path = tmp_path / "log"
    path.write_text(f"\n{line}\n{line}\n")
    found = open_reader("dsjson", path, on_bad_row="skip")
    assert list(found) == []
    assert sum(one.count for one in found.skipped) == 2
    assert "log:2" in found.skipped[0].first
