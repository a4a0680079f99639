import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from rich.console import Console

from bandit.abtests.data import AbTest, AbTestArm
from bandit.abtests.replay import make_stage, play, run_replay
from bandit.errors import PolicySpecError, ReplayError
from bandit.policies import open_policy
from bandit.policy import Pmf
from benchmarks.upworthy import DATA, read_upworthy
from streams.events import Action, Context, Decision, PolicySpec


class Fixed:
    """Always shows the same arm of a test, and keeps what it was taught."""

    def __init__(self, arm: int) -> None:
        self.arm = arm
        self.learned: list[tuple[Decision, float]] = []

    @property
    def spec(self) -> PolicySpec:
        return {"name": "fixed"}

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        pmf = np.zeros(len(actions))
        pmf[self.arm] = 1.0
        return pmf

    def learn(self, decision: Decision, reward: float) -> None:
        self.learned.append((decision, reward))

    def to_bytes(self) -> bytes:
        return b""


def ab_test(name: str, *pools: tuple[int, int], week: int = 201410) -> AbTest:
    arms = tuple(AbTestArm(f"headline {n}", *pool) for n, pool in enumerate(pools))
    return AbTest(name, week, arms)


def written(tests: Sequence[AbTest], path: Path) -> Path:
    rows = [
        {"test": test.id, "week": test.week} | arm._asdict() for test in tests for arm in test.arms
    ]
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    tests = [
        ab_test(f"t{n}", *((150, int(clicks)) for clicks in rng.integers(5, 60, size=3)))
        for n in range(12)
    ]
    return written(tests, tmp_path / "tests.parquet")


def test_one_arm_played_to_its_end_earns_exactly_its_clicks() -> None:
    stages = [make_stage(ab_test("t", (90, 33), (80, 21), (100, 5)), 1000)]
    policy = Fixed(1)
    assert list(play(stages, policy, seed=0)) == [21]
    assert len(policy.learned) == 80
    assert sum(reward for _, reward in policy.learned) == 21


def test_decisions_are_whole_and_unique() -> None:
    stages = [make_stage(ab_test(name, (40, 10), (40, 5)), 30) for name in ("a", "b")]
    policy = Fixed(0)
    list(play(stages, policy, seed=0))
    decisions = [decision for decision, _ in policy.learned]
    assert len({decision.event_id for decision in decisions}) == 60
    assert {decision.action.id for decision in decisions} == {"a/0", "b/0"}
    assert {decision.propensity for decision in decisions} == {1.0}
    assert "headline" not in decisions[0].event_id
    assert json.loads(bytes(decisions[0].action.features))


def test_a_seed_is_a_stream_of_visitors_whoever_asks() -> None:
    stages = [make_stage(ab_test("t", (200, 60), (200, 60)), 200)]
    one, again, other = Fixed(0), Fixed(0), Fixed(0)
    for policy, seed in ((one, 1), (again, 1), (other, 2)):
        list(play(stages, policy, seed=seed))
    assert one.learned == again.learned
    assert [reward for _, reward in one.learned] != [reward for _, reward in other.learned]


def test_the_uniform_policy_earns_what_it_must_within_its_error() -> None:
    tests = [ab_test("a", (60, 30), (80, 8), (70, 14)), ab_test("b", (60, 3), (60, 6), (60, 30))]
    stages = [make_stage(test, 50) for test in tests]
    uniform = open_policy({"name": "uniform"})
    clicks = np.array([list(play(stages, uniform, seed=seed)) for seed in range(300)])
    expected = np.array([50 * test.uniform_ctr for test in tests])
    error = clicks.std(axis=0, ddof=1) / np.sqrt(len(clicks))
    assert (np.abs(clicks.mean(axis=0) - expected) < 4.0 * error).all()
    assert (error < 0.25).all()


def test_learning_pays_where_one_arm_is_plainly_better(tmp_path: Path) -> None:
    tests = [ab_test(f"t{n}", (500, 200), (500, 10), (500, 15)) for n in range(4)]
    path = written(tests, tmp_path / "tests.parquet")
    report = run_replay(path, ["thompson", "uniform"], min_impressions=500, processes=1)
    thompson, uniform = report.results
    assert report.uniform_ctr == pytest.approx(0.15)
    assert report.best_ctr == pytest.approx(0.4)
    assert thompson.captured is not None
    assert thompson.captured > 0.8
    assert thompson.lift > 1.0 > 0.15 > abs(uniform.lift)


def test_the_json_has_the_fields_and_no_others(small: Path) -> None:
    report = run_replay(small, ["uniform"], min_impressions=100, horizon=60, processes=1)
    (row,) = json.loads(report.to_json())["policies"]
    assert row.keys() == {"policy", "rounds", "ctr", "lift", "lift_se", "captured"}
    assert row["policy"] == "uniform"
    assert row["rounds"] == 12 * 60
    assert row["lift"] == pytest.approx(row["ctr"] / report.uniform_ctr - 1)
    assert row["captured"] == pytest.approx(
        (row["ctr"] - report.uniform_ctr) / (report.best_ctr - report.uniform_ctr)
    )


def test_the_table_names_every_policy(small: Path) -> None:
    report = run_replay(
        small, ["uniform", "thompson:alpha=2,beta=9"], min_impressions=100, horizon=20, processes=1
    )
    console = Console(width=120, file=io.StringIO())
    with console.capture() as printed:
        console.print(report.to_table())
    text = printed.get()
    assert "uniform" in text
    assert "thompson:alpha=2,beta=9" in text
    assert f"{report.results[1].lift * 100:+.1f} ±" in text
    assert "12 tests" in text


def test_seeds_average_and_narrow_the_error(small: Path) -> None:
    def replayed(seeds: int) -> tuple[float, float, int]:
        report = run_replay(
            small, ["uniform"], min_impressions=100, horizon=60, seeds=seeds, processes=1
        )
        result = report.results[0]
        assert result.lift_se is not None
        return result.lift, result.lift_se, result.rounds

    one, many = replayed(1), replayed(20)
    assert many[1] < 0.5 * one[1]
    assert abs(many[0]) < 4 * many[1]
    assert many[2] == 20 * one[2]


def test_processes_change_nothing_but_the_time(small: Path) -> None:
    def replayed(processes: int) -> str:
        names = ["thompson", "uniform"]
        report = run_replay(
            small, names, seeds=2, min_impressions=100, horizon=40, processes=processes
        )
        return report.to_json()

    assert replayed(2) == replayed(1)


def test_bad_arguments_are_named_before_any_work(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="policies: 0 given"):
        run_replay(small, [])
    with pytest.raises(ReplayError, match="seeds: 0 given; expected at least 1"):
        run_replay(small, ["uniform"], seeds=0)
    with pytest.raises(PolicySpecError, match="nonesuch"):
        run_replay(tmp_path / "absent.parquet", ["nonesuch"])
    path = written([ab_test("t", *[(2000, 0)] * 3)], tmp_path / "clickless.parquet")
    with pytest.raises(ReplayError, match="hold no click"):
        run_replay(path, ["uniform"])


@pytest.mark.skipif(not DATA.exists(), reason="the Upworthy archive is not at ../shared/data")
def test_learning_pays_on_real_tests(tmp_path: Path) -> None:
    path = written(read_upworthy()[:60], tmp_path / "first.parquet")
    report = run_replay(path, ["epsilon_greedy", "uniform"], processes=1)
    greedy, uniform = report.results
    assert report.tests == 60
    assert uniform.lift_se is not None
    assert abs(uniform.lift) < 3 * uniform.lift_se
    assert greedy.lift > 0.03 > uniform.lift
