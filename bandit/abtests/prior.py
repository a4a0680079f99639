"""What a policy can know from the start: weights of creatives' features, and delays of rewards.

Finished A/B tests, or the log of a hundred placements, say which texts were clicked more than
those beside them; creatives that were held out decide how far to believe it. Delays have no shape
that one could assume, so their curve is their own quantiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from bandit.abtests.contrasts import Contrasts, Floats, Rows, held_out, loss, posterior
from bandit.errors import ReplayError
from streams.events import Interaction, PolicySpec

PRIOR_SCALES: Final = (0.02, 0.03, 0.05, 0.07, 0.1, 0.14)
"""How far scores may spread before any data: standard deviations, in logarithms."""
FORM: Final = ("text", "text_")
"""Namespaces that are fitted first start so: a text's form, whatever embedding comes with it."""
MOST_STRENGTH: Final = 50.0
LEAST_STRENGTH: Final = 1.0
DECIMALS: Final = 4
QUANTILES: Final = 20
FEWEST_REWARDS: Final = 100
LEAST_SECONDS: Final = 1e-3


class Prior(NamedTuple):
    """What was learned.

    `weights` are by feature, `namespace.feature`, per unit of it, and by namespace what is added
    where any of it is there; none if features told nothing. `strength` is what the policy's own
    parameter of that name should be. `explained` is the share of the variance between creatives
    that was predicted of creatives held out, clicks' own noise included.
    """

    weights: dict[str, float]
    strength: float
    explained: float

    @property
    def spec(self) -> PolicySpec:
        """The policy that starts from these weights."""
        return {"name": "text_thompson", "weights": self.weights, "strength": self.strength}


def fit_prior(data: Contrasts) -> Prior:
    """Returns what these creatives tell of others.

    Namespaces are fitted one after another, each on what those before it left, so that the
    weights of one hold whether or not another is there. With w ~ N(0, spread²/n_features) for each
    of a namespace's features in units of its spread, the ridge estimate is
    (XᵀΩX + n_features/spread²)⁻¹XᵀΩy (Hoerl & Kennard 1970). The spread is the one that predicts
    best, in weighted squares, creatives that were held out; if none predicts better than leaving
    the namespace out does, it has no weights.

    What is left of the creatives' variance, beyond features and clicks' own noise, is how far a
    rate lies from what was predicted; one over it is the strength, between 1 and 50 clicks.
    """
    namespaces = sorted({name.partition(".")[0] for name in data.names})
    spreads: dict[str, float] = {}
    left = nothing = loss(data.y, np.zeros_like(data.y), data.weight)
    for namespace in sorted(namespaces, key=lambda name: not _of_form(name)):
        tried = {
            scale: loss(data.y, _predicted(data, spreads | {namespace: scale}), data.weight)
            for scale in PRIOR_SCALES
        }
        best = min(PRIOR_SCALES, key=tried.__getitem__)
        if tried[best] < left:
            spreads[namespace], left = best, tried[best]
    predicted = _predicted(data, spreads)
    rows = np.ones(len(data.y), dtype=bool)
    found = _fitted(data, spreads, rows)
    # The variance of rates beyond what was predicted, by weighted moments.
    square, weight = (data.y - predicted) ** 2 - 1.0 / data.expected, data.weight**2
    variance = float(weight @ square) / float(weight.sum())
    strength = round(min(max(1.0 / max(variance, 1e-9), LEAST_STRENGTH), MOST_STRENGTH), 1)
    return Prior(_named(data, found, spreads), strength, 1.0 - left / nothing)


def _of_form(namespace: str) -> bool:
    """Returns whether the namespace is of a text's form, in English or in another language."""
    plain, elsewhere = FORM
    return namespace == plain or namespace.startswith(elsewhere)


def _fitted(data: Contrasts, spreads: Mapping[str, float], rows: Rows) -> Floats:
    """Returns the weights from these rows, shape (n_features,), in data's units."""
    found = np.zeros(len(data.names))
    left, weight = data.y[rows], data.weight[rows]
    for namespace, spread in spreads.items():
        own = data.of(namespace)
        x = data.x[np.ix_(rows, own)]
        found[own], _ = posterior(x, left, weight, x.shape[1] / spread**2)
        left = left - x @ found[own]
    return found


def _predicted(data: Contrasts, spreads: Mapping[str, float]) -> Floats:
    """Returns y as predicted from the folds that a creative is not in."""
    return held_out(data.fold, lambda rest, held: data.x[held] @ _fitted(data, spreads, rest))


def _named(data: Contrasts, found: Floats, spreads: Mapping[str, float]) -> dict[str, float]:
    """Returns the weights by name; with a namespace's own, a typical creative scores 0 in it."""
    named = dict(zip(data.names, (found / data.scale).round(DECIMALS).tolist(), strict=True))
    for namespace in spreads:
        own = data.of(namespace)
        named[namespace] = round(-float(data.centre[own] @ found[own]), DECIMALS)
    return {name: weight for name, weight in named.items() if weight}


def fit_delay(interactions: Iterable[Interaction]) -> list[float]:
    """Returns twenty quantiles, in seconds, of the time from a decision to what it earned.

    A reward has the time of the newest outcome that it came from, by the events' own clocks, and
    counts as much as it adds. Decisions younger than the longest delay are left out: of theirs,
    only the quick rewards have come.

    Raises:
        ReplayError: fewer than a hundred rewards to learn from.
    """
    found: list[tuple[int, float, float]] = []
    newest_ms = 0
    for each in interactions:
        decided_ms = each.decision.timestamp_ms
        newest_ms = max(newest_ms, decided_ms)
        added = each.reward - (each.previous_reward or 0.0)
        if added > 0.0 and each.outcomes:
            came_ms = max(outcome.timestamp_ms for outcome in each.outcomes)
            found.append((decided_ms, (came_ms - decided_ms) / 1000.0, added))
    if found:
        longest_ms = 1000.0 * max(delay for _, delay, _ in found)
        found = [each for each in found if each[0] <= newest_ms - longest_ms]
    if len(found) < FEWEST_REWARDS:
        raise ReplayError(
            f"{len(found)} rewards older than the longest delay, expected at least "
            f"{FEWEST_REWARDS} to learn from; wait for more, or take more placements"
        )
    delays, weights = np.array([each[1:] for each in found]).T
    order = np.argsort(delays, kind="stable")
    come = np.cumsum(weights[order]) / weights.sum()
    shares = np.arange(1, QUANTILES + 1) / QUANTILES
    at = np.minimum(np.searchsorted(come, shares - 1e-12), len(order) - 1)
    found_seconds: list[float] = np.maximum(delays[order][at], LEAST_SECONDS).round(3).tolist()
    return found_seconds
