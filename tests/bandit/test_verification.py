"""The audit passes a log that tells the truth, and names each decision that does not."""

import json
from io import StringIO

import msgspec
import pytest
from msgspec import Raw
from rich.console import Console

from bandit.policies.vw import binding, model
from bandit.verification import audit
from streams.events import DECISIONS, INTERACTIONS, decode
from streams.logs.base import Message, TopicPartition
from tests.bandit.histories import (
    SPECS,
    THOMPSON,
    VW,
    live,
    new_log,
    placement,
    put,
    tampered,
)

N = 30


def a_log(spec=THOMPSON, n=N):
    log = new_log(placement(policy=spec))
    live(log, placement(policy=spec), n, seed=3)
    return log


def changed(log, number, **changes):
    """A log with the same records but for changes to one decision."""
    return tampered(log, f"home-{number}", lambda made: msgspec.structs.replace(made, **changes))


def decision_of(log, number):
    return decode(log.read(TopicPartition(DECISIONS, 0), number, limit=1)[0].value)


def found(report):
    return [(m.reason, m.event_id, m.partition, m.offset) for m in report.mismatches]


@SPECS
def test_a_log_that_tells_the_truth_is_clean(spec):
    report = audit(a_log(spec))
    assert report.clean
    assert (report.decisions, report.versions, report.versions_verified) == (N, 5, 5)


@SPECS
def test_a_pmf_that_was_changed_is_caught(spec):
    log = a_log(spec)
    pmf = decision_of(log, 17).pmf
    index = decision_of(log, 17).index
    # Moves a little from the chosen action to another, so that the draw is as likely the same.
    other = (index + 1) % len(pmf)
    moved = [*pmf]
    moved[index] -= 1e-8
    moved[other] += 1e-8
    report = audit(changed(log, 17, pmf=tuple(moved)))
    assert found(report) == [("pmf_differs", "home-17", 0, 17)]
    assert report.mismatches[0].policy_version == decision_of(log, 17).policy_version


@SPECS
def test_an_index_that_was_changed_is_caught(spec):
    log = a_log(spec)
    index = (decision_of(log, 4).index + 1) % 3
    report = audit(changed(log, 4, index=index))
    assert found(report) == [("sample_differs", "home-4", 0, 4)]


@SPECS
@pytest.mark.parametrize("version", ["0123456789abcdef@14", "rubbish", "0123456789abcdef@999"])
def test_a_version_that_was_changed_is_caught(spec, version):
    report = audit(changed(a_log(spec), 20, policy_version=version))
    assert found(report) == [("version_unknown", "home-20", 0, 20)]
    assert report.versions == report.versions_verified + 1


def test_of_versions_that_another_binding_made_it_says_which_one_folds_here(monkeypatch):
    log = a_log({"name": "floor", "epsilon": 0.1, "policy": VW})
    for module in (binding, model):
        monkeypatch.setattr(module, "open_workspace", binding.OfficialWorkspace)
    report = audit(log)
    assert report.counts() == {"version_unknown": N}
    assert "here vowpalwabbit 9.11" in report.mismatches[0].detail


def test_a_true_hash_at_a_wrong_offset_is_caught():
    log = a_log()
    shifted = decision_of(log, 20).policy_version.replace("@14", "@15")
    report = audit(changed(log, 20, policy_version=shifted))
    assert found(report) == [("version_unknown", "home-20", 0, 20)]


def test_a_context_that_was_changed_is_caught_where_the_policy_reads_it():
    report = audit(changed(a_log(VW), 20, context=Raw(b'{"hour": 99, "other": "x"}')))
    assert found(report) == [("pmf_differs", "home-20", 0, 20)]


def test_an_unreadable_decision_is_listed_and_a_tick_is_none():
    log = a_log()
    log.append([Message(DECISIONS, b"home-x", b"no JSON")])
    log.append([Message(DECISIONS, b"", b'{"type":"tick"}')])
    assert found(audit(log)) == [("decision_unreadable", "home-x", 0, N)]


def test_decisions_of_a_placement_that_never_was_are_of_an_unknown_version():
    log = new_log()
    live(log, placement(), 2, seed=1)
    assert [m.reason for m in audit(log).mismatches] == ["version_unknown"] * 2


def test_decisions_from_before_and_after_a_change_of_policy_are_both_derived():
    log = a_log()
    put(log, placement(policy=VW))
    put(log, placement(policy={"name": "uniform"}))
    assert audit(log).clean


def test_several_placements_and_partitions_are_told_apart():
    log = new_log(placement(), placement("aside"), placement("below"), partitions=3)
    for name in ("home", "aside", "below"):
        live(log, placement(name), 10, seed=1)
    report = audit(log)
    assert report.clean
    assert report.decisions == 30


def test_a_log_without_decisions_is_clean():
    report = audit(new_log(placement()))
    assert report.clean
    assert report.decisions == 0


def test_progress_is_told_to_the_last_record():
    told = []
    audit(a_log(), progress=lambda *step: told.append(step))
    assert told == [(DECISIONS, N, N), (INTERACTIONS, N, N)]


def test_the_report_as_json_and_as_a_table():
    report = audit(changed(a_log(), 20, policy_version="rubbish"))
    answer = json.loads(report.to_json())
    assert answer["clean"] is False
    assert answer["counts"] == {"version_unknown": 1}
    assert answer["mismatches"][0]["event_id"] == "home-20"
    output = StringIO()
    Console(file=output, width=200).print(report.to_table())
    assert f"{N} decisions, 5 of 6 policy versions verified: 1 version_unknown" in output.getvalue()
    assert "home-20" in output.getvalue()


def test_a_fallback_must_be_certain_of_the_first_action():
    log = a_log()
    made = decision_of(log, 3)
    n = len(made.actions)
    certain = {"pmf": (1.0, *[0.0] * (n - 1)), "index": 0, "fallback": True, "v": 2}
    assert audit(changed(log, 3, **certain)).clean
    other = {"pmf": (*[0.0] * (n - 1), 1.0), "index": n - 1, "fallback": True, "v": 2}
    report = audit(changed(log, 3, **other))
    assert [m.reason for m in report.mismatches] == ["pmf_differs"]
