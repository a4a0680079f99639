"""The hybrid policy's posterior between two fits: each reward changes it by a matrix of rank one.

A fit takes the cube of its dimensions, and rewards come faster than that. What a fit estimates
once, the prior's scale, mean and noise, and the directions that tell creatives apart, is kept
until the next; given those, the posterior is that of a fit on all that came since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bandit.policies.base import order_of
from bandit.policies.best import Floats
from bandit.policies.linear.hybrid_fit import ArmSums, Fit, inverses, stacked
from streams.events import Action


class _Arm(Struct):
    """One creative since the fit: its ψ, G = (S + own·I)⁻¹, and Σ w(r − mean)φ."""

    psi: Floats
    spread: Floats
    response: Floats


class _Prepared(NamedTuple):
    """What is prepared of a tuple of actions, stacked in one order."""

    actions: Sequence[Action]
    order: NDArray[np.intp]
    rows: dict[str, int]
    psi: Floats
    spread: Floats
    response: Floats


class RunningFit:
    """A fit, and what was learned since of creatives that it knows.

    Args:
        found: the fit.
        arms: what it was made of, by creative, in its order.
        scale: what sums were multiplied by.
    """

    def __init__(self, found: Fit, arms: Mapping[str, ArmSums], scale: float) -> None:
        self._fit, self._scale = found, scale
        self._covariance = found.covariance.copy()
        self._right = np.zeros(len(self._covariance))
        self._arms: dict[str, _Arm] = {}
        self._shown: _Prepared | None = None
        if arms:
            m = found.weights.shape[1]
            psi, second, response = stacked(list(arms.values()), found, scale)
            spread = inverses(second + found.own * np.eye(m))
            told = found.own * np.einsum("kij,kj->ki", spread, response)
            self._right = (psi.T @ told).ravel()
            self._arms = {
                name: _Arm(psi[k].copy(), spread[k].copy(), response[k].copy())
                for k, name in enumerate(arms)
            }

    def learn(self, creative_id: str, x: Floats, weight: float, reward: float) -> None:
        """Adds a decision in the context `x` to a creative that the fit knows."""
        arm, own = self._arms[creative_id], self._fit.own
        weight, centred = weight * self._scale, reward - self._fit.mean
        gain = arm.spread @ x
        noise = 1.0 / weight + float(x @ gain)
        u = np.outer(arm.psi, own * gain).ravel()
        told = self._covariance @ u
        # With u integrated out, a decision tells of W what one with this vector would.
        self._covariance -= np.outer(told, told / (noise + u @ told))
        self._right += u * ((centred - float(gain @ arm.response)) / noise)
        arm.spread -= np.outer(gain, gain / noise)
        arm.response += weight * centred * x
        self._show(creative_id, arm)

    def correct(self, creative_id: str, x: Floats, weight: float, change: float) -> None:
        """Adds to the reward of a decision that was learned."""
        arm = self._arms[creative_id]
        change *= weight * self._scale
        self._right += change * np.outer(arm.psi, self._fit.own * (arm.spread @ x)).ravel()
        arm.response += change * x
        self._show(creative_id, arm)

    def scores(
        self, x: Floats, actions: Sequence[Action], code_of: Callable[[Action], Floats]
    ) -> tuple[NDArray[np.intp], Floats, Floats]:
        """Returns the actions' order, and of each in it the score's mean and variance."""
        shown, own = self._prepare(actions, code_of), self._fit.own
        gain = shown.spread @ x
        u = (shown.psi[:, :, None] * (own * gain)[:, None, :]).reshape(len(gain), -1)
        mean = (gain * shown.response).sum(axis=1) + u @ (self._covariance @ self._right)
        variance = gain @ x + ((u @ self._covariance) * u).sum(axis=1)
        return shown.order, mean, self._fit.noise**2 * variance

    def _prepare(self, actions: Sequence[Action], code_of: Callable[[Action], Floats]) -> _Prepared:
        """Returns what is prepared of the actions: once, for as long as the same tuple is shown."""
        shown = self._shown
        if shown is None or shown.actions is not actions:
            order = order_of(actions)
            ordered = [actions[i] for i in order]
            arms = [self._seen(action.id, code_of(action)) for action in ordered]
            shown = self._shown = _Prepared(
                # A list may be another one the next time that it is seen; a tuple stays what it is.
                actions if isinstance(actions, tuple) else (),
                np.array(order),
                {action.id: row for row, action in enumerate(ordered)},
                np.array([arm.psi for arm in arms]),
                np.array([arm.spread for arm in arms]),
                np.array([arm.response for arm in arms]),
            )
        return shown

    def _seen(self, creative_id: str, code: Floats) -> _Arm:
        """Returns the creative, with what it looks like now."""
        found, fit = self._arms.get(creative_id), self._fit
        psi = np.append(1.0, fit.directions @ (code - fit.centre))
        if found is not None:
            return _Arm(psi, found.spread, found.response)
        m = fit.weights.shape[1]
        return _Arm(psi, np.eye(m) / fit.own, np.zeros(m))

    def _show(self, creative_id: str, arm: _Arm) -> None:
        shown = self._shown
        row = None if shown is None else shown.rows.get(creative_id)
        if shown is not None and row is not None:
            shown.spread[row], shown.response[row] = arm.spread, arm.response
