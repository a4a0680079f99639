"""From features to vectors: numbers standardised, time in circles, names hashed for good."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from bandit.features.flatten import CACHE_SIZE, Codebook, Feature, balanced, flatten, standardised

numbers = st.floats(-1e15, 1e15)


def numeric(name, value):
    return {f.name: f.value for f in standardised([Feature("n", name, value)])}


def distance(one, other):
    names = one.keys() | other.keys()
    return math.dist([one.get(n, 0.0) for n in names], [other.get(n, 0.0) for n in names])


@given(value=numbers)
def test_every_number_becomes_numbers_between_minus_1_and_1(value):
    assert all(abs(found) <= 1.0 for found in numeric("price", value).values())


@given(value=st.floats(-1.0, 1.0))
def test_a_number_up_to_1_stays_as_it_is(value):
    assert numeric("x", value) == {"x": value}


@given(value=st.floats(0.01, 1e12), sign=st.sampled_from([-1.0, 1.0]))
def test_numbers_that_are_close_are_close_and_their_sign_tells_them_apart(value, sign):
    """Also across 1 and across powers of two, where marks change."""
    near = numeric("x", sign * value * 1.0001)
    assert distance(numeric("x", sign * value), near) < 1e-3
    assert distance(near, numeric("x", -sign * value)) >= 0.02 * min(value, 1.0)


@pytest.mark.parametrize("name", ["hour", "local.hour", "visit_hour"])
def test_the_hour_before_midnight_is_next_to_the_hour_after(name):
    step = distance(numeric(name, 12.0), numeric(name, 13.0))
    assert distance(numeric(name, 23.0), numeric(name, 0.0)) == pytest.approx(step)
    assert distance(numeric(name, 0.0), numeric(name, 12.0)) > 2 * step
    assert sum(value * value for value in numeric(name, 7.0).values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("name", "period"), [("weekday", 7), ("day_of_week", 7), ("month", 12)])
def test_other_circles_close_as_well(name, period):
    assert distance(numeric(name, 0.0), numeric(name, float(period))) < 1e-9


@pytest.mark.parametrize("name", ["hours", "hour=late", "rush.hourly", "happyhour"])
def test_what_only_sounds_like_a_time_is_none(name):
    assert not any("~cos" in found for found in numeric(name, 1.0))


def test_midnight_is_kept_where_zeros_are_asked_for():
    midnight = Raw(b'{"hour": 0, "user": {"new": false}}')
    assert flatten(midnight, namespace="context") == []
    assert flatten(midnight, namespace="context", zeros=True) == [Feature("context", "hour", 0.0)]


def test_namespaces_count_alike_and_small_ones_are_not_blown_up():
    flags = [Feature("text", f"flag {n}", 1.0) for n in range(9)]
    found = balanced([*flags, Feature("embedding", "0", 1.0), Feature("user", "age", 0.1)])
    squares = {}
    for namespace, _, value in found:
        squares[namespace] = squares.get(namespace, 0.0) + value * value
    assert squares == pytest.approx({"text": 1 / 3, "embedding": 1 / 3, "user": 0.01 / 3})


def vector(book, value):
    features = flatten(Raw(json.dumps(value).encode()), namespace="context", zeros=True)
    return book.vector(balanced(standardised(features)))


def test_hashing_is_stable():
    """Should these change, every policy that was saved reads contexts differently."""
    context = {"user": {"plan": "free", "tags": ["a", "é"]}, "hour": 9, "age": 33}
    expected = [
        0.105622128206,
        0.101451263642,
        0.540720262379,
        0.114451903883,
        0.38129662256,
        0.239044487544,
        -0.260874903462,
        -0.044971735937,
    ]
    np.testing.assert_allclose(vector(Codebook(8, seed=5), context), expected, atol=1e-12)


def test_the_order_of_keys_does_not_matter_beyond_rounding():
    book = Codebook(16, seed=1)
    one = vector(book, {"a": 1, "b": {"c": "x", "d": 2}})
    other = vector(book, {"b": {"d": 2, "c": "x"}, "a": 1})
    np.testing.assert_allclose(one, other, atol=1e-15)


def test_inner_products_are_kept_on_average():
    one = [Feature("a", str(n), value) for n, value in enumerate([0.5, -0.2, 0.7])]
    other = [Feature("a", str(n), value) for n, value in enumerate([0.1, 0.9, 0.4, 0.3])]
    found = [
        Codebook(16, seed=seed).vector(one) @ Codebook(16, seed=seed).vector(other)
        for seed in range(3000)
    ]
    assert np.mean(found) == pytest.approx(0.5 * 0.1 - 0.2 * 0.9 + 0.7 * 0.4, abs=0.02)


def test_fewer_names_than_dimensions_are_never_mistaken_for_each_other():
    book = Codebook(24, seed=0)
    codes = np.array([book.vector([Feature("user", f"plan={n}", 1.0)]) for n in range(16)])
    assert np.linalg.matrix_rank(codes) == 16


def test_more_names_than_are_kept_are_still_the_same():
    book = Codebook(4, seed=0)
    before = book.vector([Feature("user", "0", 1.0)])
    for number in range(CACHE_SIZE + 1):
        book.vector([Feature("user", str(number), 1.0)])
    np.testing.assert_array_equal(book.vector([Feature("user", "0", 1.0)]), before)


def test_long_names_are_not_kept_and_read_the_same():
    book, name = Codebook(16, seed=1), "t" * 10_000
    first = book.vector([Feature("a", name, 1.0)])
    np.testing.assert_array_equal(first, book.vector([Feature("a", name, 1.0)]))
    assert not book._codes
    book.vector([Feature("a", "short", 1.0)])
    assert len(book._codes) == 1
