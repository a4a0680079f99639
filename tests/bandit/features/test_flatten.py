"""From JSON to features: what is one, what it is called, and what is refused with its path."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from bandit.errors import FeatureError
from bandit.features.flatten import (
    Codebook,
    Feature,
    balanced,
    compressed,
    creative_features,
    flatten,
    hash_vector,
    standardised,
    vw_text,
)


def flat(value, namespace="top"):
    return [tuple(f) for f in flatten(Raw(json.dumps(value).encode()), namespace=namespace)]


@pytest.mark.parametrize(
    ("value", "features"),
    [
        ({}, []),
        ({"hour": 9}, [("top", "hour", 9.0)]),
        ({"user": {"age": 33}}, [("user", "age", 33.0)]),
        ({"user": {"plan": "free"}}, [("user", "plan=free", 1.0)]),
        ({"plan": ""}, [("top", "plan=", 1.0)]),
        ({"new": True, "old": False}, [("top", "new", 1.0)]),
        ({"zero": 0, "none": None, "minus": -0.5}, [("top", "minus", -0.5)]),
        ({"geo": {"at": {"city": "Ulm"}}}, [("geo", "at.city=Ulm", 1.0)]),
        ({"v": [0.5, 0, 2]}, [("v", "0", 0.5), ("v", "2", 2.0)]),
        ({"user": {"v": [0.5, 2]}}, [("user", "v.0", 0.5), ("user", "v.1", 2.0)]),
        ({"tags": ["a", "b"]}, [("tags", "=a", 1.0), ("tags", "=b", 1.0)]),
        ({"u": {"tags": ["a", "b"]}}, [("u", "tags=a", 1.0), ("u", "tags=b", 1.0)]),
        ({"seen": [{"id": "x"}, {"id": "y"}]}, [("seen", "id=x", 1.0), ("seen", "id=y", 1.0)]),
        ({"empty": {}, "none": []}, []),
        ({"": {"": 1}}, [("", "", 1.0)]),
    ],
)
def test_nested_json_becomes_named_numbers(value, features):
    assert flat(value) == features


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[1]", r"features are \[1\]; expected a JSON object"),
        (b"null", "features are null; expected a JSON object"),
        (b'"text"', "expected a JSON object"),
        (b"{", "features cannot be read: "),
        (b'{"a": NaN}', "features cannot be read: "),
        (b'{"a": 1e999}', "features cannot be read: .*out of range"),
        (b'{"a": "\xff"}', "features cannot be read: "),
        (b"", "features cannot be read: "),
        (
            b'{"a": {"b": [1, null]}}',
            r"a\.b\.1 is null; an array holds numbers, strings or objects",
        ),
        (b'{"a": [[1]]}', r"a\.0 is \[1\]; an array holds"),
        (b'{"a": [true]}', r"a\.0 is true; an array holds"),
        (b'{"user": {"age": 1e16}}', r"user\.age is 1e\+16; a feature is at most 1e\+15"),
        (b'{"n": -12345678901234567890123}', "n is -12345678901234567890123; a feature is at most"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, r"nested deeper than 8 at a\.a\.a\.a\.a\.a\.a\.a\.a"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested deeper than 8"),
        (b'{"a":[' * 5 + b"1" + b"]}" * 5, "nested deeper than 8"),
    ],
)
def test_what_is_no_feature_is_refused_with_its_path(data, message):
    with pytest.raises(FeatureError, match=message) as caught:
        flatten(Raw(data), namespace="top")
    assert caught.value.code == "features_invalid"


def test_eight_levels_are_read():
    assert flat(json.loads('{"a":' * 8 + "1" + "}" * 8)) == [("a", "a.a.a.a.a.a.a", 1.0)]


names = st.text(max_size=8)
json_objects = st.dictionaries(
    names,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | names,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)


@given(value=json_objects)
def test_any_object_is_read_or_refused_and_numbers_stay_finite(value):
    try:
        features = flat(value)
    except FeatureError:
        return
    assert all(math.isfinite(number) and number != 0 for _, _, number in features)
    line = vw_text(Feature(*feature) for feature in features)
    # What separates for Vowpal Wabbit is ASCII; Python's own split knows more.
    assert len(re.findall(r"[^\x00-\x20]+", line)) == len(features) + line.count("|")


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        (("user", "age", 0.25), "|user age:0.25"),
        (("user", "new", 1.0), "|user new"),
        (("a b", "plan=x|y:z", -1.0), "|a%20b plan=x%7Cy%3Az:-1"),
        (("u", "line\nbreak\ttab\x00", 1.0), "|u line%0Abreak%09tab%00"),
        (("u", "100%", 1.0), "|u 100%25"),
        (("", "", 2.0), "|% %:2"),
        (("u", "Füße=€", 1.0), "|u Füße=€"),
        (("u", "tiny", 1.25e-7), "|u tiny:1.25e-07"),
    ],
)
def test_vowpal_wabbits_text_is_escaped(feature, text):
    assert vw_text([Feature(*feature)]) == text


def test_long_names_are_told_apart_by_a_hash_and_keep_their_first_letters():
    one, other = (vw_text([Feature("n", "x" * 64 + end, 1.0)]) for end in "ab")
    assert one != other
    assert len(one) == len(other) < 64
    assert one.startswith("|n xxxxxxxxxxxxxxxx~")


def test_a_namespace_is_named_once_while_it_lasts():
    features = [Feature("u", "a", 1.0), Feature("u", "b", 1.0), Feature("v", "c", 1.0)]
    assert vw_text(features) == "|u a b |v c"
    assert vw_text([]) == ""


numbers = st.floats(-10, 10)
feature_lists = st.lists(st.builds(Feature, names, names, numbers), max_size=8)


@given(features=feature_lists, size=st.integers(1, 64), seed=st.integers(0, 2**33))
def test_hashing_is_linear_and_depends_on_its_seed_alone(features, size, seed):
    vector = hash_vector(features, size, seed=seed)
    assert vector.shape == (size,)
    apart = [hash_vector([feature], size, seed=seed) for feature in features]
    np.testing.assert_allclose(vector, np.sum([np.zeros(size), *apart], axis=0), atol=1e-12)
    doubled = [Feature(f.namespace, f.name, 2 * f.value) for f in features]
    np.testing.assert_allclose(hash_vector(doubled, size, seed=seed), 2 * vector)


def test_hashing_keeps_inner_products_on_average():
    """Weinberger et al.: unbiased over seeds; these two share two features of four."""
    one = [Feature("n", name, value) for name, value in [("a", 1.0), ("b", 2.0), ("c", -1.0)]]
    other = [Feature("n", name, value) for name, value in [("b", 0.5), ("c", 3.0), ("d", 1.0)]]
    found = [
        hash_vector(one, 16, seed=seed) @ hash_vector(other, 16, seed=seed) for seed in range(4000)
    ]
    error = np.std(found) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(2 * 0.5 - 1 * 3, abs=4 * error)


def test_a_golden_vector_never_changes():
    vector = hash_vector([Feature("user", "plan=free", 1.0), Feature("u", "é", 0.5)], 8, seed=7)
    assert vector.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0, -0.5, 0.0, 0.0]


@pytest.mark.parametrize(("kind", "name"), [("wordllama", "embedding"), ("minilm", "minilm")])
def test_a_creatives_features_are_small_json_that_policies_can_read(kind, name):
    parts = {"headline": "Why does it pay to sleep 8 hours?", "description": "Try it today!"}
    features = creative_features(parts, kind)
    assert len(bytes(features)) < 700
    named = {(f.namespace, f.name) for f in flatten(features, namespace="action")}
    assert {("text", "question"), ("text", "length"), (name, "31")} <= named


def test_a_creatives_features_depend_on_its_text_not_on_the_order_of_its_parts():
    parts = {"headline": "One", "description": "Two"}
    assert bytes(creative_features(parts)) == bytes(
        creative_features(dict(reversed(parts.items())))
    )
    assert bytes(creative_features(parts)) != bytes(creative_features({"headline": "One"}))


@given(parts=st.dictionaries(names, st.text(max_size=200), max_size=4))
def test_any_text_has_features(parts):
    assert flatten(creative_features(parts), namespace="action") is not None


def test_a_balanced_vector_is_the_vector_of_balanced_features():
    book = Codebook(12, seed=3)
    features = [Feature("a", "x", 3.0), Feature("a", "y", -1.0), Feature("b", "x", 0.2)]
    expected = book.vector(balanced(features))
    np.testing.assert_allclose(book.balanced_vector(features), expected, rtol=1e-12)
    assert book.balanced_vector([]).tolist() == [0.0] * 12


def test_a_large_number_is_one_feature_that_grows_slowly():
    values = [-16.0, -1.0, 0.5, 1.0, 16.0, 256.0]
    found = [f.value for f in compressed(Feature("", "n", value) for value in values)]
    assert found == [-2.0, -1.0, 0.5, 1.0, 2.0, 3.0]
    assert list(compressed([Feature("", "hour", 3.0)])) == list(
        standardised([Feature("", "hour", 3.0)])
    )
