"""Which creative of a segment is said to be the best, and when that is sure."""

import numpy as np
import pytest

from bandit.ope.intervals import mean_band
from bandit.service.figures.counts import Counts, Scale
from bandit.service.figures.winners import WinnerView, winner_of

SCALE = Scale()


def clicks(n, total):
    return Counts(n=n, total=float(total), squares=float(total))


@pytest.mark.parametrize(
    ("shown", "creative", "sure"),
    [
        ({"a": clicks(500, 100), "b": clicks(500, 20)}, "a", True),
        ({"a": clicks(500, 100), "b": clicks(500, 90)}, "a", False),
        # nobody knows what one that was hardly ever shown earns
        ({"a": clicks(500, 100), "b": clicks(500, 20), "c": clicks(3, 0)}, "a", False),
        ({"a": clicks(500, 100), "b": clicks(500, 20), "c": Counts()}, "a", False),
        ({"a": clicks(300, 60), "b": clicks(10, 0)}, "a", False),
        ({"a": clicks(3, 3), "b": clicks(3, 0)}, "a", False),
        ({"a": clicks(900, 900)}, "a", False),
    ],
)
def test_it_is_sure_against_every_creative_that_is_live(shown, creative, sure):
    assert winner_of(shown, SCALE) == WinnerView(creative=creative, sure=sure)


def test_where_nothing_was_shown_there_is_no_winner():
    assert winner_of({"a": Counts(), "b": Counts()}, SCALE) is None


def test_users_who_come_again_make_it_less_sure():
    shown = {"a": clicks(500, 100), "b": clicks(500, 60)}
    assert winner_of(shown, SCALE).sure
    assert not winner_of(shown, SCALE._replace(design=5.0)).sure


def test_of_creatives_that_are_alike_hardly_ever_one_is_sure():
    rng, wrong, runs = np.random.default_rng(6), 0, 500
    for _ in range(runs):
        counted = {name: clicks(200, rng.binomial(200, 0.05)) for name in "abcd"}
        wrong += winner_of(counted, SCALE).sure
    assert wrong <= 0.05 * runs


def test_a_band_of_a_segment_is_wilsons():
    low, high = clicks(10, 0).band()
    assert (low, high) == mean_band(10, 0.0, 0.0, 0.0, 1.0)
    assert low == 0.0 < 0.27 < high < 0.28
