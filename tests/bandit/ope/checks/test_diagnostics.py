import numpy as np
import pytest

from bandit.ope.base import Batch
from bandit.ope.checks.diagnostics import Diagnosis
from tests.bandit.ope.estimators.estimator_worlds import TARGET, draw


def after(*batches, unsupported=None):
    diagnosis = Diagnosis()
    for batch in batches:
        diagnosis.add(batch, unsupported)
    return diagnosis


def verdict(batch, unsupported=None):
    return after(batch, unsupported=unsupported).get().verdict


def batch(n, *, propensity=0.5, target=0.5, reward=0.5):
    rewarded = (np.arange(n) % 100 < 100 * reward).astype(np.float64)
    return Batch(rewarded, np.full(n, propensity), np.full(n, target))


def test_a_good_log_is_ok():
    found = after(draw(5000, seed=1).batch).get()
    assert found.verdict.code == "ok"
    assert found.verdict.usable
    assert found.mean_weight == pytest.approx(1.0, abs=0.05)
    assert 1.0 in found.mean_weight_interval
    assert 1000 < found.effective < 5000
    assert found.zero_share == 0.0
    assert found.unsupported is None


def test_figures_are_what_they_say():
    weights = np.array([0.0, 0.0, 1.0, 3.0])
    found = after(Batch(np.ones(4), np.full(4, 0.25), weights / 4), unsupported=1.0).get()
    assert found.effective == pytest.approx(16 / 10)
    assert found.max_weight == 3.0
    assert found.max_share == 0.75
    assert found.zero_share == 0.5
    assert found.unsupported == 0.25
    assert found.rewards == 2


def test_wrong_propensities_are_found_out():
    right = draw(20_000, seed=2).batch
    wrong = Batch(right.reward, np.full(len(right), 1 / 3), right.target)
    assert verdict(right).code == "ok"
    found = verdict(wrong)
    assert found.code == "weights_off"
    assert not found.usable


@pytest.mark.parametrize(
    ("given", "unsupported", "code"),
    [
        (batch(0), None, "no_decisions"),
        (batch(500, target=0.0), None, "no_overlap"),
        (batch(500), 50.0, "unsupported"),
        (batch(500, reward=0.01), None, "few_rewards"),
        (batch(50), None, "small_sample"),
    ],
)
def test_each_reason_not_to_rank_has_its_code(given, unsupported, code):
    found = verdict(given, unsupported)
    assert found.code == code
    assert not found.usable


def test_a_decision_that_outweighs_all_others_is_told():
    propensity = np.full(1000, 0.5)
    propensity[0] = 0.005
    found = verdict(Batch(np.tile([0.0, 1.0], 500), propensity, np.full(1000, 0.5)))
    assert found.code == "heavy_weight"


def test_adding_up_is_having_seen_all():
    whole = draw(3000, seed=3, target=TARGET).batch
    merged = after(whole[:10], unsupported=1.0) + after(whole[10:], unsupported=2.0)
    together = after(whole[:10], whole[10:]).get()
    found = merged.get()
    assert found.unsupported == pytest.approx(3.0 / 3000)
    for name in ("n", "effective", "mean_weight", "max_weight", "max_share", "rewards"):
        assert getattr(found, name) == pytest.approx(getattr(together, name))
