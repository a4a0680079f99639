"""What finished A/B tests tell of texts: weights with which a policy starts, and how strong.

A test's headlines compete for the same visitors, so only the differences within a test count;
their regression on features is ridge, and how far it is believed is decided on tests held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandit.ab_tests import AbTest
from bandit.errors import ReplayError
from bandit.features import creative_features, flatten
from streams.events import PolicySpec

Floats = NDArray[np.float64]

SPREADS: Final = (0.02, 0.03, 0.05, 0.07, 0.1, 0.14)
"""How far scores may spread within a test before any data: standard deviations, in logarithms."""
FOLDS: Final = 5
RATE_VARIANCE: Final = 1.0 / 12.0
"""Of the rates within a test, relative to their mean: as `TextThompsonConfig.strength` has it."""
DECIMALS: Final = 4


class Prior(NamedTuple):
    """What was learned of texts.

    `weights` are by feature, `namespace.feature`, per unit of it; none if texts told nothing.
    `spread` is the most believable of `SPREADS`, 0 if none is. `explained` is the share of the
    variance within tests that was foretold of tests held out, clicks' own noise included.
    """

    weights: dict[str, float]
    spread: float
    explained: float

    @property
    def spec(self) -> PolicySpec:
        """The policy that starts from these weights."""
        return {"name": "text_thompson", "weights": self.weights}


class _Contrasts(NamedTuple):
    """Every arm against the mean of its test, of all tests one after another.

    `x` features in units of their spread within tests (n_arms, n_features), `y` the rate beyond
    the test's as a share of it, `weight` one over y's variance, `fold` which tests are held out
    together; `scale` is what a unit of x is, `names` what it is of.
    """

    x: Floats
    y: Floats
    weight: Floats
    fold: NDArray[np.int64]
    scale: Floats
    names: tuple[str, ...]


def fit_prior(tests: Sequence[AbTest]) -> Prior:
    """Returns what the tests' headlines tell of how often others would be clicked.

    With w ~ N(0, spread²/n_features) for each feature in units of its spread within tests, the
    ridge estimate is (XᵀΩX + n_features/spread²)⁻¹XᵀΩy (Hoerl & Kennard 1970). The spread is the
    one that foretells best, in weighted squares, tests that were held out: five folds of
    consecutive tests, since a story is often tested again the next day. If none foretells better
    than nothing does, there are no weights.

    Args:
        tests: in order of week, with at least two arms each; ones without a click are ignored.

    Raises:
        ReplayError: fewer than ten tests with a click.
    """
    clicked = [test for test in tests if any(arm.clicks for arm in test.arms)]
    if len(clicked) < 2 * FOLDS:
        raise ReplayError(
            f"{len(clicked)} tests with a click, expected at least {2 * FOLDS} to learn a prior "
            "from; include more tests, or lower the minimum of impressions"
        )
    data = _contrasts(clicked)
    nothing = _lost(data, np.zeros_like(data.y))
    losses = {spread: _lost(data, _foretold(data, spread)) for spread in SPREADS}
    spread = min(SPREADS, key=losses.__getitem__)
    explained = 1.0 - losses[spread] / nothing
    if explained <= 0.0:
        return Prior({}, 0.0, 0.0)
    found = _ridge(data, spread, np.ones(len(data.y), dtype=bool)) / data.scale
    named = dict(zip(data.names, found.round(DECIMALS).tolist(), strict=True))
    return Prior({name: weight for name, weight in named.items() if weight}, spread, explained)


def _foretold(data: _Contrasts, spread: float) -> Floats:
    """Returns y as foretold from the folds that an arm is not in."""
    y = np.empty_like(data.y)
    for fold in range(FOLDS):
        held = data.fold == fold
        y[held] = data.x[held] @ _ridge(data, spread, ~held)
    return y


def _lost(data: _Contrasts, foretold: Floats) -> float:
    return float(data.weight @ (data.y - foretold) ** 2)


def _ridge(data: _Contrasts, spread: float, rows: NDArray[np.bool_]) -> Floats:
    """Returns the estimate from these rows, shape (n_features,), in data's units."""
    x, y, weight = data.x[rows], data.y[rows], data.weight[rows]
    precision = (x.T * weight) @ x
    precision[np.diag_indices_from(precision)] += x.shape[1] / spread**2
    return np.linalg.solve(precision, (weight * y) @ x).astype(np.float64)


def _contrasts(tests: Sequence[AbTest]) -> _Contrasts:
    read = [[_features(arm.headline) for arm in test.arms] for test in tests]
    names = sorted({name for of_test in read for features in of_test for name in features})
    column = {name: number for number, name in enumerate(names)}
    parts: list[tuple[Floats, Floats, Floats]] = []
    for test, of_test in zip(tests, read, strict=True):
        x = np.zeros((len(of_test), len(names)))
        for row, features in zip(x, of_test, strict=True):
            for name, value in features.items():
                row[column[name]] = value
        parts.append((x - x.mean(axis=0), *_rates(test)))
    x, y, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    scale = np.sqrt((x * x).mean(axis=0))
    varies = scale > 0.0
    fold = np.arange(len(tests)) * FOLDS // len(tests)
    return _Contrasts(
        x=x[:, varies] / scale[varies],
        y=y,
        weight=weight,
        fold=np.repeat(fold, [len(test.arms) for test in tests]),
        scale=scale[varies],
        names=tuple(name for name, kept in zip(names, varies, strict=True) if kept),
    )


def _features(headline: str) -> dict[str, float]:
    named = flatten(creative_features({"headline": headline}), namespace="action")
    return {f"{feature.namespace}.{feature.name}": feature.value for feature in named}


def _rates(test: AbTest) -> tuple[Floats, Floats]:
    """Returns each arm's y and its weight: 1 / (variance of rates + 1 / expected clicks)."""
    impressions = np.array([arm.impressions for arm in test.arms], dtype=np.float64)
    clicks = np.array([arm.clicks for arm in test.arms], dtype=np.float64)
    expected = impressions * (clicks.sum() / impressions.sum())
    relative = clicks / expected
    return relative - relative.mean(), 1.0 / (RATE_VARIANCE + 1.0 / expected)
