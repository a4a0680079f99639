"""The bootstrap of a stream, under the laws that do not ask for the same draws."""

import numpy as np
import pytest

from bandit.errors import EstimateError
from bandit.ope.base import Batch
from bandit.ope.estimators import open_estimator
from bandit.ope.estimators.importance import Ips, Snips
from bandit.ope.estimators.running import BLOCKS, Resampled
from tests.bandit.ope.estimators.estimator_laws import CoverageLaws
from tests.bandit.ope.estimators.estimator_worlds import draw


def after(formula, *batches):
    estimator = Resampled(formula)
    for batch in batches:
        estimator.add(batch)
    return estimator


class TestSnips(CoverageLaws):
    n = 300

    def new(self):
        return Resampled(Snips())


def test_a_biased_value_gets_the_interval_of_its_unbiased_sibling():
    batch = draw(2000, seed=6).batch
    found = [open_estimator(name, bootstrap=True) for name in ("dm", "dr")]
    for estimator in found:
        estimator.add(batch)
    dm, dr = (estimator.get() for estimator in found)
    assert dm.value != dr.value
    assert (dm.interval.low, dm.interval.high) == pytest.approx((dr.interval.low, dr.interval.high))


@pytest.mark.parametrize("n", [50, 2000, 100_000])
def test_it_agrees_with_the_normal_interval(n):
    batch = draw(n, seed=1).batch
    bootstrap, running = after(Snips(), batch).get(), open_estimator("snips")
    running.add(batch)
    normal = running.get()
    assert bootstrap.value == pytest.approx(normal.value, abs=1e-12)
    width = normal.interval.high - normal.interval.low
    assert bootstrap.interval.low == pytest.approx(normal.interval.low, abs=0.1 * width)
    assert bootstrap.interval.high == pytest.approx(normal.interval.high, abs=0.1 * width)
    assert bootstrap.interval.method == "bootstrap"


def test_it_keeps_no_more_than_its_blocks():
    estimator = after(Ips(), *(draw(5000, seed=seed).batch for seed in range(20)))
    assert BLOCKS / 2 < len(estimator._counts) <= 2 * BLOCKS
    assert estimator._counts.sum() == 100_000


@pytest.mark.parametrize("cut", [7, 3000, 39_000])
def test_adding_up_is_having_seen_all(cut):
    batch = draw(40_000, seed=3).batch
    merged = (after(Snips(), batch[:cut]) + after(Snips(), batch[cut:])).get()
    whole = after(Snips(), batch).get()
    assert merged.n == whole.n
    assert merged.value == pytest.approx(whole.value, abs=1e-12)
    width = whole.interval.high - whole.interval.low
    assert merged.interval.low == pytest.approx(whole.interval.low, abs=0.1 * width)


def test_the_same_log_gives_the_same_interval():
    batch = draw(3000, seed=4).batch
    assert after(Ips(), batch).get() == after(Ips(), batch).get()


def test_of_nothing_there_is_no_interval_and_of_what_never_varied_one_with_a_width():
    half = np.full(100, 0.5)
    assert after(Ips()).get() == (0, None, None)
    interval = after(Ips(), Batch(np.zeros(100), half, half)).get().interval
    assert interval.low == 0.0 < 0.02 < interval.high < 0.03


def test_those_of_other_formulas_cannot_be_added_up():
    with pytest.raises(EstimateError, match="cannot be added up"):
        after(Ips()) + after(Snips())
