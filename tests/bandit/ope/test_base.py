import numpy as np
import pytest
from scipy import stats

from bandit.distributions import beta_cdf, beta_quantile, gamma_quantile, quantile
from bandit.errors import EstimateError
from bandit.ope.intervals import bernstein_lower, clopper_pearson


@pytest.mark.parametrize("a", [0.5, 1.0, 3.0, 40.0, 1e4])
@pytest.mark.parametrize("b", [1.0, 2.5, 700.0, 1e6])
@pytest.mark.parametrize("share", [1e-6, 0.025, 0.5, 0.975])
def test_beta_quantiles_agree_with_scipy(a, b, share):
    x = beta_quantile(share, a, b)
    assert x == pytest.approx(stats.beta.ppf(share, a, b), rel=1e-7)
    assert beta_cdf(x, a, b) == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize(("shape", "within"), [(3.0, 0.03), (12.0, 0.002), (400.0, 1e-4)])
@pytest.mark.parametrize("share", [0.025, 0.5, 0.975])
def test_gamma_quantiles_agree_with_scipy(shape, within, share):
    expected = stats.gamma.ppf(share, shape)
    assert gamma_quantile(share, shape) == pytest.approx(expected, rel=within)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (1, 99), (37, 314), (1500, 100_000)])
def test_clopper_pearson_agrees_with_scipy(successes, n):
    interval = clopper_pearson(successes, n, 0.9)
    expected = stats.binomtest(successes, n).proportion_ci(0.9, method="exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-7)


def test_quantiles_are_the_normal_ones():
    assert quantile(0.95) == pytest.approx(stats.norm.ppf(0.975))


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, float("nan")])
def test_levels_that_cannot_be_are_refused(level):
    with pytest.raises(EstimateError, match="level is"):
        quantile(level)


def test_bernstein_bounds_hold():
    rng = np.random.default_rng(1)
    misses = 0
    for _ in range(1000):
        values = 4.0 * (rng.random(200) < 0.1)
        low = bernstein_lower(values.mean(), values.var(ddof=1), 200, largest=4.0, alpha=0.1)
        misses += low > 0.4
    assert misses < 100
    far = bernstein_lower(0.4, 1.44, 10**6, largest=4.0, alpha=0.1)
    assert 0.39 < far < 0.4
