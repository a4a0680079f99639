"""The integral against closed forms, SciPy's own distributions, and plain counting of draws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from bandit.policies.best import beta_best, normal_best, quick_normal_best

STATED = 2e-4
"""The error that the module states."""

showings = st.one_of(st.integers(0, 100), st.integers(0, 10_000), st.integers(0, 10_000_000))
shares = st.floats(0.0, 0.2)
histories = st.lists(st.tuples(showings, shares), min_size=2, max_size=6)
priors = st.sampled_from([(1.0, 50.0), (1.0, 1.0), (1.4, 90.0), (0.5, 0.5), (20.0, 3.0)])


def exact(alpha, beta):
    """The same integral by Gauss's rule between the points of a fine grid, with SciPy's cdf."""
    mode, sd = np.log(alpha / beta), np.sqrt(1 / alpha + 1 / beta)
    below, above = 6 + 20 / np.sqrt(alpha), 6 + 20 / np.sqrt(beta)
    spans = [
        np.linspace(m - s * b, m + s * a, 1001)
        for m, s, b, a in zip(mode, sd, below, above, strict=True)
    ]
    edges = np.unique(np.concatenate(spans))
    points, weights = np.polynomial.legendre.leggauss(3)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (1 + points)).ravel()
    cdf = stats.beta.cdf(special.expit(z), alpha[:, None], beta[:, None])
    log_pdf = alpha[:, None] * special.log_expit(z) + beta[:, None] * special.log_expit(-z)
    pdf = np.exp(log_pdf - special.betaln(alpha, beta)[:, None])
    others = np.array([np.prod(np.delete(cdf, i, axis=0), axis=0) for i in range(len(alpha))])
    return (pdf * others) @ (half * weights).ravel()


@settings(max_examples=150, deadline=None)
@given(prior=priors, history=histories)
def test_beta_is_within_the_stated_error_of_a_fine_integral(prior, history):
    n = np.array([n for n, _ in history], dtype=float)
    clicks = np.floor(n * np.array([share for _, share in history]))
    alpha, beta = prior[0] + clicks, prior[1] + n - clicks
    found = beta_best(alpha, beta, np.ones(len(history)))
    assert np.abs(found - exact(alpha, beta)).max() < STATED
    assert math.fsum(found) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("ahead", [1, 2, 7])
@pytest.mark.parametrize(("a", "b", "beta"), [(1, 1, 1), (3, 9, 40), (40, 31, 900), (900, 1000, 7)])
def test_two_beta_arms_match_the_closed_form(a, b, beta, ahead):
    """P(X > Y) for integer parameters: a finite sum of Beta functions."""
    alpha_x, alpha_y, beta_x, beta_y = a + ahead, b, beta, beta + 3
    i = np.arange(alpha_x)
    terms = special.betaln(alpha_y + i, beta_x + beta_y) - np.log(beta_x + i)
    terms -= special.betaln(1 + i, beta_x) + special.betaln(alpha_y, beta_y)
    found = beta_best(
        np.array([alpha_x, alpha_y], float), np.array([beta_x, beta_y], float), np.ones(2)
    )
    assert found[0] == pytest.approx(np.exp(terms).sum(), abs=STATED)


@pytest.mark.parametrize(
    ("best", "distribution", "first", "second"),
    [
        (beta_best, "beta", [3.0, 5.0, 1.0, 12.0], [150.0, 210.0, 50.0, 900.0]),
        (normal_best, "normal", [0.0, 0.4, -3.0, 0.39], [1.0, 0.5, 4.0, 0.01]),
    ],
    ids=["beta", "normal"],
)
def test_it_matches_counting_the_best_of_many_draws(best, distribution, first, second):
    draw = getattr(np.random.default_rng(5), distribution)
    counted = np.bincount(draw(first, second, size=(400_000, 4)).argmax(axis=1)) / 400_000
    found = best(np.array(first), np.array(second), np.ones(4))
    assert np.abs(found - counted).max() < 4 * 0.5 / math.sqrt(400_000) + STATED


@pytest.mark.parametrize("n_arms", [2, 3, 10, 100, 1000])
@pytest.mark.parametrize("alpha", [0.01, 1.0, 1e7])
def test_equal_beta_arms_share_evenly_however_they_are_counted(n_arms, alpha):
    one = beta_best(np.array([alpha]), np.array([50.0]), np.array([float(n_arms)]))
    each = beta_best(np.full(n_arms, alpha), np.full(n_arms, 50.0), np.ones(n_arms))
    assert one * n_arms == pytest.approx([1.0])
    assert each == pytest.approx(np.full(n_arms, 1.0 / n_arms), abs=1e-12)


def test_a_kind_that_counts_several_arms_equals_those_arms_one_by_one():
    kinds = beta_best(np.array([2.0, 5.0]), np.array([60.0, 100.0]), np.array([3.0, 2.0]))
    alpha, beta = np.array([2.0, 2.0, 2.0, 5.0, 5.0]), np.array([60.0, 60.0, 60.0, 100.0, 100.0])
    assert np.repeat(kinds, [3, 2]) == pytest.approx(beta_best(alpha, beta, np.ones(5)), abs=1e-9)


@pytest.mark.parametrize("n_arms", [10, 100, 1000])
def test_many_arms_with_one_that_is_known_well_are_still_exact(n_arms):
    """The known arm's density is 500 times narrower than the others'."""
    rng = np.random.default_rng(n_arms)
    n = rng.integers(0, 300, n_arms).astype(float)
    clicks = rng.binomial(n.astype(int), 0.02).astype(float)
    n[0], clicks[0] = 1e7, 3.5e5
    alpha, beta = 1.0 + clicks, 50.0 + n - clicks
    found = beta_best(alpha, beta, np.ones(n_arms))
    known = stats.beta.cdf(alpha[0] / (alpha[0] + beta[0]), alpha[1:], beta[1:]).prod()
    assert found[0] == pytest.approx(known, abs=1e-3)
    assert math.fsum(found) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("alpha", "beta"),
    [
        ([0.01, 0.01], [0.01, 0.01]),
        ([1e7, 1.0], [1e9, 1.0]),
        ([1e9, 1e9], [1e9, 1.0000001e9]),
        ([0.01, 1e9], [1e9, 0.01]),
        ([1.0, 1.0, 2.0], [1.0, 1e9, 1e9]),
    ],
)
def test_extreme_posteriors_still_give_a_pmf(alpha, beta):
    found = beta_best(np.array(alpha), np.array(beta), np.ones(len(alpha)))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert math.fsum(found) == pytest.approx(1.0)


@settings(deadline=None)
@given(
    gap=st.floats(-50, 50), sd=st.floats(1e-6, 1e6), ratio=st.floats(1e-5, 1e5), at=st.floats(-9, 9)
)
def test_two_normal_arms_match_the_closed_form(gap, sd, ratio, at):
    """P(X > Y) = Φ((μx − μy) / √(σx² + σy²))."""
    sds = np.array([sd, sd * ratio])
    means = np.array([at * sd + gap * sds.max(), at * sd])
    found = normal_best(means, sds, np.ones(2))
    expected = stats.norm.cdf((means[0] - means[1]) / np.hypot(*sds))
    assert found[0] == pytest.approx(expected, abs=STATED)


@pytest.mark.parametrize("n", [2, 3, 10, 60])
@pytest.mark.parametrize("apart", [0.0, 0.3, 1.0, 3.0])
def test_the_quick_integral_is_that_of_single_arms(n, apart):
    """Also where widths differ a thousandfold, and it leaves the work to the other."""
    rng = np.random.default_rng(n)
    for scale in (1e-6, 1.0, 1e6):
        sd = scale * np.exp(apart * rng.normal(size=n))
        mean = scale * rng.normal(size=n)
        quick = quick_normal_best(mean, sd)
        assert quick == pytest.approx(normal_best(mean, sd, np.ones(n)), abs=5e-4)
        assert quick.sum() == pytest.approx(1.0)


def test_the_quick_integral_of_equal_arms_is_even_and_of_one_that_is_far_ahead_certain():
    assert quick_normal_best(np.full(3, 7.0), np.full(3, 1e-12)) == pytest.approx([1 / 3] * 3)
    assert quick_normal_best(np.array([0.0, 9.0]), np.array([1e-9, 1e-3])).tolist() == [0.0, 1.0]
