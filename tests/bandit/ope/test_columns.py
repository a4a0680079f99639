"""Judging by columns finds what judging decision by decision does."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bandit.errors import EstimateError, PolicySpecError, ReaderError
from bandit.ope.candidate import Options
from bandit.ope.evaluate import evaluate
from bandit.ope.evaluate_columns import evaluate_columns, fits
from bandit.ope.readers import open_reader
from bandit.ope.readers.tables.table import open_columns

COLUMNS = {
    "reward": "clicked",
    "propensity": "p",
    "action": "ad",
    "context.device": "device",
    "target.rival": "new",
}
POLICIES = ["uniform", "constant:b", "constant:nobody", "column:rival"]
OPTIONS = Options(
    ("ips", "clipped_ips", "snips", "betting", "bernstein"), segments=("device",), max_weight=20.0
)


def table(n=3000):
    rng = np.random.default_rng(1)
    action = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return pa.table(
        {
            "clicked": (rng.random(n) < np.array([0.1, 0.3, 0.2])[action]).astype(np.int64),
            "p": np.array([0.5, 0.3, 0.2])[action],
            "ad": np.array(["a", "b", "c"])[action],
            "device": np.where(rng.random(n) < 0.3, "mobile", "desktop"),
            "new": np.array([0.1, 0.8, 0.1])[action],
        }
    )


@pytest.fixture
def path(tmp_path):
    pq.write_table(table(), tmp_path / "log.parquet", row_group_size=700)
    return tmp_path / "log.parquet"


def assert_same(found, expected):
    assert (found.n, found.baseline) == (expected.n, expected.baseline)
    for mine, theirs in zip(found.policies, expected.policies, strict=True):
        assert mine.policy == theirs.policy
        assert mine.diagnostics.verdict == theirs.diagnostics.verdict
        assert mine.diagnostics.weights == theirs.diagnostics.weights
        for row, other in zip(mine.estimates, theirs.estimates, strict=True):
            assert row.value == pytest.approx(other.value, nan_ok=True)
            for interval, its in (
                (row.interval, other.interval),
                (row.difference_interval, other.difference_interval),
            ):
                assert (interval is None) == (its is None)
                if interval is not None:
                    assert (interval.low, interval.high) == pytest.approx((its.low, its.high))
        for parts, its_parts in (
            (mine.over_time, theirs.over_time),
            (mine.segments["device"], theirs.segments["device"]),
        ):
            assert [(p.label, p.n) for p in parts] == [(p.label, p.n) for p in its_parts]


@pytest.mark.parametrize("processes", [1, 2])
def test_it_finds_what_judging_decision_by_decision_does(path, processes):
    assert fits(POLICIES, OPTIONS, actions=True)
    found = evaluate_columns(
        open_columns(path, COLUMNS, ("device",)), POLICIES, OPTIONS, processes=processes
    )
    assert_same(
        found, evaluate(partial(open_reader, "table", path, columns=COLUMNS), POLICIES, OPTIONS)
    )


def test_parts_are_all_rows_once(path):
    log = open_columns(path, COLUMNS)
    assert log.most_parts == 5
    rows = [
        (time, reward)
        for part in range(3)
        for columns in log.read(part, 3)
        for time, reward in zip(columns.timestamp_ms, columns.reward, strict=True)
    ]
    assert sorted(rows) == list(enumerate(table()["clicked"].to_pylist()))


@pytest.mark.parametrize(
    ("policies", "options", "actions"),
    [
        (["thompson"], OPTIONS, True),
        (["uniform"], OPTIONS, False),
        (["uniform"], Options(("dr",)), True),
        (["uniform"], Options(("snips",), train=5), True),
        (["uniform"], Options(("snips",), baseline="thompson"), True),
    ],
)
def test_what_needs_decisions_is_left_to_them(policies, options, actions):
    assert not fits(policies, options, actions=actions)


def test_what_cannot_be_is_refused(path, tmp_path):
    with pytest.raises(PolicySpecError, match="no such target, but rival"):
        evaluate_columns(open_columns(path, COLUMNS), ["column:other"], OPTIONS)
    with pytest.raises(ReaderError, match="does not exist"):
        open_columns(tmp_path / "nowhere.csv", COLUMNS)
    with pytest.raises(ReaderError, match="--propensities estimate"):
        open_columns(path, {"reward": "clicked"})
    assert open_columns(path, COLUMNS, ("country",)) is None
    hole = tmp_path / "hole.csv"
    hole.write_text("clicked,p\n1,0.5\n,0.5\n")
    roles = {"reward": "clicked", "propensity": "p"}
    with pytest.raises(ReaderError, match="row 1: clicked is empty"):
        evaluate_columns(open_columns(hole, roles), [], Options(("ips",)))
    empty = tmp_path / "empty.parquet"
    pq.write_table(table(0), empty)
    with pytest.raises(EstimateError, match="no decision"):
        evaluate_columns(open_columns(empty, COLUMNS), [], Options(("ips",)))
