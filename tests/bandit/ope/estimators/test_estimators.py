"""Every estimator under the laws that it claims."""

from dataclasses import replace

import numpy as np
import pytest

from bandit.errors import EstimateError
from bandit.ope.base import Batch
from bandit.ope.estimators import ESTIMATORS, FORMULAS, WITH_MODEL, open_estimator
from bandit.ope.estimators.cross_validated import CHOICES
from bandit.ope.estimators.doubly_robust import Dm, Dr, DrOs, SwitchDr
from bandit.ope.estimators.running import RunningEstimate, value_alone
from tests.bandit.ope.estimators.estimator_laws import (
    ConsistentLaws,
    CoverageLaws,
    EstimatorLaws,
    OwnIntervalLaws,
    UnbiasedLaws,
)
from tests.bandit.ope.estimators.estimator_worlds import RATES, TARGET, draw, matched, true_value

UNIFORM = np.full((2, 3), 1 / 3)


class TestIps(EstimatorLaws, OwnIntervalLaws, ConsistentLaws, UnbiasedLaws, CoverageLaws):
    name = "ips"


class TestClippedIps(EstimatorLaws, CoverageLaws):
    name = "clipped_ips"


class TestSnips(EstimatorLaws, OwnIntervalLaws, ConsistentLaws, CoverageLaws):
    name = "snips"


class TestDm(EstimatorLaws, CoverageLaws):
    name = "dm"


class TestDr(EstimatorLaws, OwnIntervalLaws, ConsistentLaws, UnbiasedLaws, CoverageLaws):
    name = "dr"


class TestSndr(EstimatorLaws, OwnIntervalLaws, ConsistentLaws, CoverageLaws):
    name = "sndr"


class TestSwitchDr(EstimatorLaws, CoverageLaws):
    name = "switch_dr"


class TestDrOs(EstimatorLaws, CoverageLaws):
    name = "dros"


class TestBlend(EstimatorLaws, CoverageLaws):
    name = "blend"

    def test_it_leaves_a_wrong_model_the_sooner_the_longer_the_log(self):
        wrong = np.array([[0.3, 0.3, 0.3], [0.4, 0.4, 0.4]])
        shares = [
            np.mean([self.after(draw(n, seed, scores=wrong).batch).share() for seed in range(20)])
            for n in (50, 500, 50_000)
        ]
        assert shares[0] < shares[1] < shares[2]
        assert shares[2] > 0.97

    def test_it_stays_near_a_right_model(self):
        errors = []
        for seed in range(200):
            estimator = self.after(draw(300, seed, scores=RATES).batch)
            model = RunningEstimate(Dr())
            model.add(draw(300, seed, scores=RATES).batch)
            errors.append((estimator.get().value, model.get().value))
        blend, dr = np.sqrt(((np.array(errors) - true_value()) ** 2).mean(axis=0))
        assert blend < 0.75 * dr


class TestCrossValidated(EstimatorLaws, ConsistentLaws, CoverageLaws):
    name = "cross_validated"

    def test_a_right_model_is_believed_and_a_wrong_one_is_not(self):
        wrong = np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1]])
        for seed in range(5):
            assert self.after(draw(3000, seed, scores=RATES).batch).chosen not in ("snips", "ips")
            assert self.after(draw(3000, seed, scores=wrong).batch).chosen not in ("dm", "dros")

    def test_it_is_what_many_splits_choose(self):
        batch = draw(4000, seed=3).batch
        rng, errors = np.random.default_rng(0), dict.fromkeys(CHOICES, 0.0)
        for _ in range(200):
            train = rng.random(len(batch)) < 0.5
            told = value_alone(CHOICES["snips"], batch[np.flatnonzero(~train)])
            for name, formula in CHOICES.items():
                found = value_alone(formula, batch[np.flatnonzero(train)])
                errors[name] += (found - told) ** 2
        least = min(errors.values())
        assert errors[self.after(batch).chosen] < 1.05 * least

    def test_where_nothing_matched_it_is_what_the_model_says(self):
        half = np.full(4, 0.5)
        found = self.after(Batch(half, half, np.zeros(4), half, np.full(4, 0.3)))
        assert (found.chosen, found.get().value) == ("dr", pytest.approx(0.3))
        assert found.get().interval is None


class TestReplay(EstimatorLaws, OwnIntervalLaws, ConsistentLaws, CoverageLaws):
    name = "replay"
    bounded = True
    n = 400
    most = 0.99  # Clopper and Pearson's is exact or above

    def prepare(self, batch, seed=0):
        return matched(batch, seed)

    def on_policy(self, batch):
        return Batch(batch.reward, batch.propensity, np.ones(len(batch)))

    def policies(self):
        return {"logged": UNIFORM}

    def test_a_pmf_is_refused(self):
        with pytest.raises(EstimateError, match="sample it first"):
            self.new().add(draw(10, seed=0).batch)

    def test_rewards_that_are_not_clicks_get_an_interval_where_they_lie(self):
        ones = np.ones(3)
        estimate = self.after(Batch(np.array([0.0, 1.0, 2.0]), ones, ones)).get()
        assert (estimate.value, estimate.interval.method) == (1.0, "beta")
        assert 0.0 < estimate.interval.low < 1.0 < estimate.interval.high < 2.0

    def test_without_a_match_nothing_is_said(self):
        half = np.full(4, 0.5)
        estimate = self.after(Batch(half, half, np.zeros(4))).get()
        assert (estimate.n, estimate.value, estimate.interval) == (4, None, None)


class TestMips(EstimatorLaws, OwnIntervalLaws, ConsistentLaws, UnbiasedLaws, CoverageLaws):
    name = "mips"

    def prepare(self, batch, seed=0):
        # where every action is its own kind, it is IPS
        return replace(batch, marginal=batch.weight)

    def on_policy(self, batch):
        return self.prepare(batch)


class TestMrdr(EstimatorLaws, OwnIntervalLaws, ConsistentLaws, UnbiasedLaws, CoverageLaws):
    name = "mrdr"


class TestBetting(EstimatorLaws, OwnIntervalLaws, ConsistentLaws, CoverageLaws):
    name = "betting"
    bounded = True
    n = 500
    least, most = 0.97, 1.0


class TestBernstein(EstimatorLaws, OwnIntervalLaws, ConsistentLaws, CoverageLaws):
    name = "bernstein"
    bounded = True
    n = 500
    least, most = 0.97, 1.0


@pytest.mark.parametrize("name", ["ips", "snips"])
def test_rewards_that_never_varied_still_leave_a_width(name):
    half = np.full(100, 0.5)
    estimator = open_estimator(name)
    estimator.add(Batch(np.zeros(100), half, half))
    value, interval = estimator.get()[1:]
    assert (value, interval.low) == (0.0, 0.0)
    # about as Jeffreys's of 0 in 100
    assert interval.high == pytest.approx(0.0247, abs=1e-3)


@pytest.mark.parametrize("name", WITH_MODEL)
def test_a_model_says_nothing_of_its_own_error_where_nothing_matched_earned(name):
    half, scores = np.full(100, 0.5), np.linspace(0.01, 0.02, 100)
    estimator = open_estimator(name)
    estimator.add(Batch(np.zeros(100), half, half, scores, scores[::-1].copy()))
    assert estimator.get().value is not None
    assert estimator.get().interval is None


def test_an_unknown_estimator_is_refused():
    with pytest.raises(EstimateError, match="'magic'; expected one of: replay, ips"):
        open_estimator("magic")


@pytest.mark.parametrize("name", WITH_MODEL)
def test_one_that_needs_a_model_says_so(name):
    batch = draw(10, seed=0).batch
    with pytest.raises(EstimateError, match="reward model"):
        open_estimator(name).add(Batch(batch.reward, batch.propensity, batch.target))


def test_estimators_of_different_settings_cannot_be_added_up():
    with pytest.raises(EstimateError, match="cannot be added up"):
        RunningEstimate(DrOs(lambda_=1.0)) + RunningEstimate(DrOs(lambda_=2.0))


@pytest.mark.parametrize("name", ["dm", "dros", "switch_dr", "clipped_ips"])
def test_a_biased_value_still_gets_an_interval_that_covers(name):
    # a model that is badly wrong, and weights that are shrunk towards it
    wrong = np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1]])
    steep = np.array([[0.90, 0.05, 0.05], [0.05, 0.90, 0.05]])
    estimator = open_estimator(name)
    estimator.add(draw(200_000, seed=8, logged=steep, scores=wrong).batch)
    value, interval = estimator.get().value, estimator.get(0.999).interval
    assert value not in interval
    assert true_value() in interval
    assert interval.method == "beta_debiased"


@pytest.mark.parametrize(
    ("formula", "dr_at", "dm_at"),
    [(DrOs, 1e12, 0.0), (SwitchDr, 1e12, -1.0)],
    ids=["dros", "switch_dr"],
)
def test_shrinkage_lies_between_the_model_and_dr(formula, dr_at, dm_at):
    batch = draw(3000, seed=9).batch
    dr, dm = open_estimator("dr"), RunningEstimate(Dm())
    at_dr, at_dm = RunningEstimate(formula(lambda_=dr_at)), RunningEstimate(formula(lambda_=dm_at))
    for estimator in (dr, dm, at_dr, at_dm):
        estimator.add(batch)
    assert at_dr.get().value == pytest.approx(dr.get().value, abs=1e-9)
    assert at_dm.get().value == pytest.approx(dm.get().value, abs=1e-9)


def test_every_name_opens():
    batch = matched(draw(100, seed=1).batch, seed=1)
    scored = replace(batch, score=batch.reward, expected_score=batch.reward, marginal=batch.weight)
    for name in ESTIMATORS:
        estimator = open_estimator(name)
        estimator.add(scored)
        assert estimator.get().n == 100


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"propensity": np.array([0.5, 0.0])}, "propensity holds 0.0 in row 1"),
        ({"propensity": np.array([1.5, 0.5])}, "propensity holds 1.5 in row 0"),
        ({"reward": np.array([np.nan, 0.0])}, "reward holds nan in row 0"),
        ({"target": np.array([0.5, -0.1])}, "target holds -0.1 in row 1"),
        ({"target": np.array([0.5])}, r"target is of shape \(1,\)"),
        ({"score": np.array([0.5, 0.5])}, "come together"),
    ],
)
def test_columns_that_cannot_be_are_refused(change, words):
    half = np.full(2, 0.5)
    with pytest.raises(EstimateError, match=words):
        Batch(**({"reward": half, "propensity": half, "target": half} | change))


def test_what_the_log_does_not_say_of_kinds_is_asked_for():
    with pytest.raises(EstimateError, match="which actions are alike"):
        open_estimator("mips").add(draw(10, seed=0).batch)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_value_alone_is_the_value(name):
    batch = draw(40_000, seed=2).batch
    batch = replace(batch, marginal=batch.weight)
    estimator = open_estimator(name)
    estimator.add(batch)
    assert value_alone(FORMULAS[name], batch) == pytest.approx(estimator.get().value, abs=1e-12)
    assert value_alone(FORMULAS[name], batch[:0]) is None


def test_the_target_of_the_world_differs_from_its_log():
    # else the laws above would hold of an estimator that ignores weights
    assert abs(true_value(TARGET) - true_value(UNIFORM)) > 0.1
