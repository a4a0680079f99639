"""How often creatives were clicked compared with what was offered beside them.

Who competes for the same visitors can be compared; all else (the place, the season) is left out.
The rows come from finished tests, or from a log of decisions. Their regression on features is
ridge; `bandit.abtests.prior` and the generator's reward model fit it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from bandit.abtests.data import AbTest
from bandit.errors import ReplayError
from bandit.features.flatten import Embedding, creative_features, flatten
from bandit.ope.readers.events import LoggedEvent

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.bool_]
Named: TypeAlias = Mapping[str, float]
"""Features by `namespace.feature`."""

FOLDS: Final = 5
RATE_VARIANCE: Final = 1.0 / 12.0
"""Of the rates within a test, relative to their mean: as `TextThompsonConfig.strength` has it."""


class Contrasts(NamedTuple):
    """Creatives against those beside them, in the order in which they came.

    `x` are features beyond those of what was offered, in units of how they spread, shape
    (n_creatives, n_features); `y` is the rate beyond the common one as a share of it, `expected`
    how many clicks the common rate would have given, and `weight` one over y's variance. `fold`
    says which are held out together. `scale` is what a unit of x is, `centre` the features' mean
    over creatives in it, and `names` what they are.
    """

    x: Floats
    y: Floats
    expected: Floats
    weight: Floats
    fold: NDArray[np.int64]
    scale: Floats
    centre: Floats
    names: tuple[str, ...]

    def of(self, namespace: str) -> NDArray[np.bool_]:
        """Returns which features are of the namespace."""
        return np.array([name.partition(".")[0] == namespace for name in self.names])


class _Rows(NamedTuple):
    """Creatives with raw features: their own, and those offered beside them on average."""

    own: Floats
    offered: Floats
    clicks: Floats
    expected: Floats
    group: NDArray[np.int64]


def contrasts_of_tests(tests: Sequence[AbTest], embedding: Embedding | None) -> Contrasts:
    """Returns each headline against the mean of its test.

    Args:
        tests: in order of week; ones without a click are ignored. Folds are of consecutive
            tests, since a story is often tested again the next day.
        embedding: of the headlines.

    Raises:
        ReplayError: fewer than ten tests with a click.
        EmbeddingError: the embedding is not installed.
    """
    clicked = [test for test in tests if any(arm.clicks for arm in test.arms)]
    if len(clicked) < 2 * FOLDS:
        raise ReplayError(
            f"{len(clicked)} tests with a click, expected at least {2 * FOLDS} to learn a prior "
            "from; include more tests, or lower the minimum of impressions"
        )
    read = [
        [named_features(creative_features({"headline": arm.headline}, embedding)) for arm in t.arms]
        for t in clicked
    ]
    columns = _columns(features for of_test in read for features in of_test)
    parts: list[_Rows] = []
    for number, (test, of_test) in enumerate(zip(clicked, read, strict=True)):
        own = np.array([_vector(features, columns) for features in of_test])
        shown = np.array([arm.impressions for arm in test.arms], dtype=np.float64)
        clicks = np.array([arm.clicks for arm in test.arms], dtype=np.float64)
        share = shown / shown.sum()
        offered = np.tile(share @ own, (len(own), 1))
        group = np.full(len(own), number)
        parts.append(_Rows(own, offered, clicks, clicks.sum() * share, group))
    return _assembled(_Rows(*map(np.concatenate, zip(*parts, strict=True))), columns)


def contrasts_of_log(read: Callable[[], Iterator[LoggedEvent]]) -> Contrasts:
    """Returns each creative of a log against what was offered beside it.

    Of a click it is known who else could have been shown and how probably, so under equal rates
    creative k was expected to get pmf_k of it: what it got beyond Σ pmf_k is noise around 0,
    however the policy adapted, unless its rate differs. So creatives of all placements can be
    put side by side.

    Args:
        read: reads the log, the same each time.

    Raises:
        ReplayError: fewer than ten creatives had a chance of a click, or a reward is not in [0, 1].
        FeatureError: a creative's features cannot be read.
    """
    known = {key: named_features(key[2]) for event in _rewarded(read()) for key in _keys(event)}
    if len(known) < 2 * FOLDS:
        raise ReplayError(
            f"{len(known)} creatives that had a chance of a click, expected at least {2 * FOLDS} "
            "to learn a prior from; wait for more, or take the archive of more placements"
        )
    columns = _columns(known.values())
    row = {key: number for number, key in enumerate(known)}
    own = np.array([_vector(features, columns) for features in known.values()])
    offered, clicks, expected = np.zeros_like(own), np.zeros(len(own)), np.zeros(len(own))
    for event in _rewarded(read()):
        rows = [row[key] for key in _keys(event)]
        share = event.reward * np.array(event.decision.pmf)
        # Not +=, which would forget a creative that is among the actions twice.
        np.add.at(expected, rows, share)
        np.add.at(offered, rows, np.outer(share, np.array(event.decision.pmf) @ own[rows]))
        clicks[rows[event.decision.index]] += event.reward
    seen = expected > 0.0
    offered[seen] /= expected[seen, None]
    rows_seen = _Rows(own[seen], offered[seen], clicks[seen], expected[seen], np.flatnonzero(seen))
    return _assembled(rows_seen, columns)


def named_features(features: bytes | Raw) -> dict[str, float]:
    """Returns a creative's features by `namespace.feature`."""
    named = flatten(Raw(features), namespace="action")
    return {f"{feature.namespace}.{feature.name}": feature.value for feature in named}


_Key: TypeAlias = tuple[str, str, bytes]
"""A creative as it looked: its placement, its id and its features."""


def _keys(event: LoggedEvent) -> list[_Key]:
    decision = event.decision
    return [(decision.placement, a.id, bytes(a.features)) for a in decision.actions]


def _rewarded(events: Iterable[LoggedEvent]) -> Iterator[LoggedEvent]:
    for event in events:
        if not 0.0 <= event.reward <= 1.0:
            raise ReplayError(
                f"decision {event.decision.event_id!r} of placement "
                f"{event.decision.placement!r} earned {event.reward:g}, expected 0 to 1, as "
                "clicks do; name a placement of such rewards"
            )
        if event.reward:
            yield event


def _columns(creatives: Iterable[Named]) -> dict[str, int]:
    names = sorted({name for features in creatives for name in features})
    return {name: number for number, name in enumerate(names)}


def _vector(features: Named, columns: Mapping[str, int]) -> Floats:
    vector = np.zeros(len(columns))
    for name, value in features.items():
        vector[columns[name]] = value
    return vector


def _assembled(rows: _Rows, columns: Mapping[str, int]) -> Contrasts:
    x = rows.own - rows.offered
    scale = np.sqrt((x * x).mean(axis=0))
    varies = scale > 1e-12
    scale = scale[varies]
    order = np.unique(rows.group, return_inverse=True)[1]
    return Contrasts(
        x=x[:, varies] / scale,
        y=rows.clicks / rows.expected - 1.0,
        expected=rows.expected,
        weight=1.0 / (RATE_VARIANCE + 1.0 / rows.expected),
        fold=order * FOLDS // (order.max() + 1),
        scale=scale,
        centre=rows.own.mean(axis=0)[varies] / scale,
        names=tuple(name for name, kept in zip(columns, varies, strict=True) if kept),
    )


def posterior(x: Floats, y: Floats, weight: Floats, prior: Floats | float) -> tuple[Floats, Floats]:
    """Returns the weights, shape (d,), and the lower Cholesky factor of their precision, (d, d).

    The weights are (XᵀΩX + Λ)⁻¹XᵀΩy (Hoerl & Kennard 1970).

    Args:
        x: shape (n, d).
        y: shape (n,).
        weight: Ω, one over the variance of each y, shape (n,).
        prior: Λ, the prior precision of the weights, shape (d,) or one for all.
    """
    precision = (x.T * weight) @ x
    precision[np.diag_indices_from(precision)] += prior
    factor = np.linalg.cholesky(precision).astype(np.float64)
    half = np.linalg.solve(factor, x.T @ (weight * y))
    return np.linalg.solve(factor.T, half).astype(np.float64), factor


def held_out(fold: NDArray[np.int64], predict: Callable[[Rows, Rows], Floats]) -> Floats:
    """Returns what each row is predicted to be from the folds that it is not in, shape (n,).

    Args:
        fold: of each row, shape (n,); 0 is predicted where there is but one.
        predict: given the rows to learn from, and those to predict.
    """
    predicted = np.zeros(len(fold))
    for number in np.unique(fold):
        held = fold == number
        if not held.all():
            predicted[held] = predict(~held, held)
    return predicted


def loss(y: Floats, predicted: Floats, weight: Floats) -> float:
    """Returns the weighted squared error of predictions, all of shape (n,)."""
    return float(weight @ (y - predicted) ** 2)
