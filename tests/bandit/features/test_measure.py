"""Measures of JSON against a parser, over texts with brackets, commas and escapes in strings."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.features.measure import count_values, has_more_values, nesting

TEXTS = st.text('"\\[]{},:1é', max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def depth_of(value):
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth_of, inner), default=0)


def values_of(value):
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 1
    return 1 + sum(map(values_of, inner)) if value else 2


@given(VALUES)
def test_they_agree_with_a_parser(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert nesting(text.encode()) == depth_of(value)
        assert count_values(text.encode()) == values_of(value)
    assert count_values(msgspec.json.encode(value)) == values_of(value)


@given(VALUES, st.integers(0, 30))
def test_more_than_a_limit_is_what_counting_says(value, most):
    text = msgspec.json.encode(value)
    assert has_more_values(text, most) == (values_of(value) > most)


@pytest.mark.parametrize("text", [b"", b"]", b"}}}", b'"', b'"\\', b"\\", b'\\"[', b"\xff", b"]["])
def test_they_say_something_of_what_is_no_json(text):
    assert nesting(text) >= 0
    assert count_values(text) >= 1
