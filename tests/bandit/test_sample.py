"""`sample`: it follows the pmf, never picks what cannot be, and never changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bandit.policy import policy_version, sample, sample_seed

weights = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20).filter(lambda w: sum(w) > 1e-9)


def ids(style, n):
    """Event ids as people make them: counted, dated, with a constant head or tail."""
    return [style.format(number) for number in range(n)]


@pytest.mark.parametrize("style", ["{}", "2026-01-01T{:06d}", "{:032x}", "user-{}/visit-1"])
@pytest.mark.parametrize("pmf", [[0.25] * 4, [0.7, 0.2, 0.05, 0.05], [0.001, 0.0, 0.499, 0.5]])
def test_over_many_events_it_follows_the_pmf(style, pmf):
    n = 20_000
    counts = np.bincount([sample(pmf, event_id) for event_id in ids(style, n)], minlength=4)
    possible = np.array(pmf) > 0
    assert counts[~possible].sum() == 0
    expected = n * np.array(pmf)[possible]
    assert stats.chisquare(counts[possible], expected).pvalue > 1e-4


@given(pmf=weights, seed=st.text(max_size=20))
def test_what_has_no_probability_is_never_chosen(pmf, seed):
    pmf = np.array(pmf) / sum(pmf)
    assert pmf[sample(pmf, seed)] > 0.0


@given(seed=st.text(max_size=20), n_zeros=st.integers(0, 3))
def test_zeros_at_either_end_are_never_chosen(seed, n_zeros):
    zeros = [0.0] * n_zeros
    assert sample([*zeros, 1.0, *zeros], seed) == n_zeros


@given(pmf=weights, seed=st.text(max_size=20))
def test_the_same_event_gets_the_same_choice_in_whatever_container(pmf, seed):
    pmf = (np.array(pmf) / sum(pmf)).tolist()
    assert sample(pmf, seed) == sample(tuple(pmf), seed) == sample(np.array(pmf), seed)


@pytest.mark.parametrize(
    ("seed", "of_four", "of_two", "of_a_thousand"),
    [
        ("e1", 1, 0, 106),
        ("e2", 3, 1, 995),
        ("", 3, 1, 893),
        ("event-é", 1, 0, 191),
        ("018f3a6e-7b1c-7c2e-9f00-000000000001", 2, 1, 529),
    ],
)
def test_logged_choices_can_be_derived_forever(seed, of_four, of_two, of_a_thousand):
    """Changing these would make every decision in every log look forged."""
    assert sample([0.1, 0.2, 0.3, 0.4], seed) == of_four
    assert sample([0.5, 0.5], seed) == of_two
    assert sample([0.001] * 1000, seed) == of_a_thousand


def test_a_slot_has_a_draw_of_its_own_and_the_first_is_the_events():
    assert sample_seed("event") == "event"
    assert sample_seed("event", 2) == "event/2"
    pmf = [0.5, 0.5]
    draws = [
        (sample(pmf, sample_seed(f"{i}")), sample(pmf, sample_seed(f"{i}", 1))) for i in range(500)
    ]
    assert 150 < sum(first == second for first, second in draws) < 350


def test_a_version_names_the_bytes_and_how_far_they_were_folded():
    assert policy_version(b"state", 7) == "4ba69735ca53765e@7"
    assert policy_version(b"state", 8) != policy_version(b"state", 7) != policy_version(b"stat", 7)
