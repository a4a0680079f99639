import pytest

from bandit.errors import EstimateError, ReaderError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.readers.events import LoggedEvent
from bandit.ope.readers.rows import Reading, RowCounts, SkippedRows, reading
from bandit.ope.tune import tune
from streams.events import Action
from tests.bandit.decisions import a_decision


def test_a_reader_stops_at_a_bad_row_and_names_the_way_out():
    with pytest.raises(ReaderError, match=r"^log:3: no reward \(--on-bad-row skip leaves out"):
        RowCounts().refuse("no_reward", "log:3", "no reward")


def test_skipped_rows_are_counted_by_reason_with_the_first_of_each():
    counts = RowCounts("skip")
    counts.refuse("no_reward", "log:3", "reward is empty")
    counts.leave_out("not_activated", "log:4", "it was deferred", count=1200)
    counts.refuse("no_reward", "log:9", "reward is 'x'")
    assert counts.get() == (
        SkippedRows("no_reward", 2, "log:3", "reward is empty"),
        SkippedRows("not_activated", 1200, "log:4", "it was deferred"),
    )
    assert list(map(str, counts.get())) == [
        "2 rows were skipped: no_reward (log:3: reward is empty)",
        "1,200 rows were skipped: not_activated (log:4: it was deferred)",
    ]


def test_the_counts_of_parts_add_up():
    whole, part = RowCounts(), RowCounts()
    for counts in (whole, part):
        counts.leave_out("not_activated", "log:4", "it was deferred", count=2)
    whole.add(part.get())
    assert whole.get() == (SkippedRows("not_activated", 4, "log:4", "it was deferred"),)


def decisions(n, counts=None):
    counts = counts or RowCounts()
    for number in range(n):
        decision = a_decision(str(number), (Action("a"), Action("b")), (0.5, 0.5), number % 2)
        yield LoggedEvent(decision, float(number % 4 == 0))
    counts.leave_out("not_activated", "log:4", "it was deferred", count=3)


def a_log(n=40):
    counts = RowCounts()
    return Reading(decisions(n, counts), counts)


def test_a_pass_that_is_filtered_still_counts():
    found = a_log().through(lambda events: (e for e in events if e.reward > 0.0))
    assert len(list(found)) == 10
    assert reading(found).skipped[0].count == 3
    assert reading(decisions(2)).skipped == ()


def test_an_evaluation_counts_skipped_rows_once_however_often_it_reads_the_log():
    found = evaluate(a_log, ["uniform"], Options(estimators=("snips", "dr")))
    assert found.skipped == (SkippedRows("not_activated", 3, "log:4", "it was deferred"),)
    assert "3 rows were skipped: not_activated (log:4: it was deferred)" in found.remarks()
    assert '"reason": "not_activated"' in found.to_json()


def test_a_search_of_settings_counts_skipped_rows():
    assert tune(a_log, [{"name": "uniform"}], model=None).skipped[0].count == 3


def test_a_log_of_skipped_rows_alone_says_so():
    with pytest.raises(EstimateError, match=r"no decision.*; 3 rows were skipped: not_activated"):
        evaluate(lambda: a_log(0), ["uniform"])
