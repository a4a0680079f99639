"""Who is let in: by the law of weighted sampling without replacement, and how probably, exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.eligibility import WeightedSampler, digest, seed_of
from streams.events import Action

N = 12
DRAWS = 4000


def a_pmf(n=N, seed=1):
    return np.random.default_rng(seed).dirichlet(np.full(n, 0.3))


def shares_let_in(samples, n=N):
    return np.bincount(np.concatenate([sample.indices for sample in samples]), minlength=n) / len(
        samples
    )


@pytest.mark.parametrize("floor", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("size", [2, 11])
def test_creatives_are_let_in_as_often_as_by_gumbel_top_n(floor, size):
    weights = (1 - floor) * a_pmf() + floor / N
    sampler, rng = WeightedSampler(a_pmf(), floor), np.random.default_rng(2)
    found = shares_let_in([sampler.draw(seed_of(str(i), "v"), size) for i in range(DRAWS)])
    keys = np.log(weights) + rng.gumbel(size=(DRAWS, N))
    top = np.argsort(-keys, axis=1)[:, :size]
    expected = np.bincount(top.ravel(), minlength=N) / DRAWS
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.5 / DRAWS)


@pytest.mark.parametrize("barred", [None, np.arange(N) % 4 == 1])
def test_divided_by_inclusion_and_propensity_every_creative_counts_once(barred):
    sampler, size = WeightedSampler(a_pmf(), 0.3), 4
    rng = np.random.default_rng(3)
    counts = np.zeros((DRAWS, N))
    for number in range(DRAWS):
        sample = sampler.draw(seed_of(f"e{number}", "v"), size, barred)
        # A policy that likes whoever stands first, whatever the weights were.
        pmf = np.array([0.4, 0.3, 0.2, 0.1])
        chosen = rng.choice(size, p=pmf)
        index = sample.indices[chosen]
        counts[number, index] = 1 / (sampler.inclusion(index, sample.until) * pmf[chosen])
    error = counts.std(axis=0) / np.sqrt(DRAWS)
    expected = np.ones(N) if barred is None else (~barred).astype(float)
    assert (np.abs(counts.mean(axis=0) - expected) <= 4.5 * error + 1e-12).all()


@given(
    st.integers(3, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(2, n - 1))),
    st.floats(0.01, 1.0),
    st.integers(0, 99),
)
def test_a_draw_is_so_many_different_ones_and_the_same_again(shape, floor, number):
    n, size = shape
    sampler = WeightedSampler(a_pmf(n, number), floor)
    sample = sampler.draw(seed_of(f"{number}", "v"), size)
    assert len(set(sample.indices.tolist())) == size
    assert (np.diff(sample.indices) > 0).all()
    assert all(0.0 < sampler.inclusion(index, sample.until) <= 1.0 for index in sample.indices)
    again = WeightedSampler(a_pmf(n, number), floor).draw(seed_of(f"{number}", "v"), size)
    assert again.indices.tolist() == sample.indices.tolist()
    assert again.until == sample.until


def test_who_is_barred_is_never_let_in_even_if_few_are_left():
    pmf = np.zeros(1000)
    pmf[0] = 1.0
    barred = np.ones(1000, dtype=bool)
    barred[[3, 500, 999]] = False
    sampler = WeightedSampler(pmf, 0.01)
    seen = {tuple(sampler.draw(seed_of(str(i), "v"), 2, barred).indices) for i in range(60)}
    assert seen == {(3, 500), (3, 999), (500, 999)}


def test_event_and_version_both_make_the_draw():
    sampler = WeightedSampler(np.full(50, 0.02), 0.2)
    draws = {
        tuple(sampler.draw(seed_of(event, version), 5).indices)
        for event in ("a", "b")
        for version in ("v@1", "v@2")
    }
    assert len(draws) == 4


def test_the_draw_is_what_it_was_when_this_was_written():
    sample = WeightedSampler(np.full(50, 0.02), 0.2).draw(seed_of("event", "version@7"), 5)
    assert sample.indices.tolist() == [23, 29, 33, 45, 48]
    assert sample.until == pytest.approx(7.275685077508577, rel=1e-12)


def test_a_digest_tells_order_and_features_apart():
    a, b = Action("a"), Action("b")
    assert digest((a, b)) == digest([a, b])
    assert digest((a, b)) != digest((b, a))
