"""MABWiser, contextualbandits and Vowpal Wabbit as contestants in the simulated market.

The first two keep a model for each creative and take contexts as arrays. They are asked in
batches, which is how they are fast, and told of new and of retired creatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from bandit.policy import Pmf, Policy
from benchmarks.market import Feedback, Floats
from benchmarks.segment_world import DEVICES, Visit
from streams.events import Action, Context, Decision

SEGMENTS = 4
COLUMNS = SEGMENTS + 6


def covariates(visits: Sequence[Visit]) -> Floats:
    """Returns the contexts as arrays made for the purpose, shape (n_visits, COLUMNS).

    A column for every segment, for the device, for age, and sine and cosine of hour and weekday;
    all about centred. What creatives look like has no place in these libraries.
    """
    return np.array([_row(visit) for visit in visits])


def _row(visit: Visit) -> list[float]:
    day = 2.0 * math.pi * (visit.timestamp_ms / 86_400_000.0)
    of_segment = [float(visit.segment == s) - 1.0 / SEGMENTS for s in range(SEGMENTS)]
    of_time = [math.cos(day), math.sin(day), math.cos(day / 7.0), math.sin(day / 7.0)]
    age = (msgspec.json.decode(visit.context)["user"]["age"] - 43) / 25.0
    return [*of_segment, visit.device - 1.0 / len(DEVICES), age, *of_time]


class MabWiser:
    """One of MABWiser's learning policies."""

    def __init__(self, policy: str, parameters: dict[str, float], wait_hours: float) -> None:
        self.wait_hours: float | None = wait_hours
        self._policy, self._parameters = policy, parameters
        self._mab: Any = None

    def choose(self, visits: Sequence[Visit], actions: tuple[Action, ...]) -> Floats:
        """Returns pmfs that are all or nothing: it answers one creative a visit."""
        from mabwiser.mab import MAB, LearningPolicy

        ids = [action.id for action in actions]
        if self._mab is None:
            policy = getattr(LearningPolicy, self._policy)(**self._parameters)
            self._mab = MAB(ids, policy, seed=1)
            # It answers only what was fitted; one made-up row each, without a reward.
            self._mab.fit(ids, [0.0] * len(ids), np.zeros((len(ids), COLUMNS)))
        for gone in set(self._mab.arms) - set(ids):
            self._mab.remove_arm(gone)
        for new in [name for name in ids if name not in self._mab.arms]:
            self._mab.add_arm(new)
        chosen = self._mab.predict(covariates(visits))
        return _one_hot(ids, chosen if isinstance(chosen, list) else [chosen])

    def learn(self, feedback: Sequence[Feedback]) -> None:
        """Fits what was said of creatives that are still there."""
        told = [said for said in feedback if said.decision.action.id in self._mab.arms]
        if told:
            self._mab.partial_fit(
                [said.decision.action.id for said in told],
                [said.reward for said in told],
                covariates([said.visit for said in told]),
            )


class ContextualBandits:
    """One of contextualbandits' online policies on its own linear regression."""

    def __init__(self, policy: str, parameters: dict[str, float], wait_hours: float) -> None:
        self.wait_hours: float | None = wait_hours
        self._policy, self._parameters = policy, parameters
        self._model: Any = None
        self._ids: list[str] = []

    def choose(self, visits: Sequence[Visit], actions: tuple[Action, ...]) -> Floats:
        """Returns pmfs that are all or nothing: it answers one creative a visit."""
        from contextualbandits import online

        ids = [action.id for action in actions]
        if self._model is None:
            policy = getattr(online, self._policy)
            self._model = policy(ids, **self._parameters, random_state=1)
            self._ids = ids
            # It answers only what was fitted; one made-up row each, without a reward.
            self._model.partial_fit(
                np.zeros((len(ids), COLUMNS)), np.array(ids), np.zeros(len(ids))
            )
        for gone in [name for name in self._ids if name not in ids]:
            self._model.drop_arm(gone)
        for new in [name for name in ids if name not in self._ids]:
            self._model.add_arm(new)
        self._ids = ids
        return _one_hot(ids, self._model.predict(covariates(visits)))

    def learn(self, feedback: Sequence[Feedback]) -> None:
        """Fits what was said of creatives that are still there."""
        told = [said for said in feedback if said.decision.action.id in self._ids]
        if told:
            names = np.array([said.decision.action.id for said in told])
            rewards = np.array([said.reward for said in told])
            self._model.partial_fit(covariates([said.visit for said in told]), names, rewards)


def _one_hot(ids: list[str], chosen: Sequence[str]) -> Floats:
    found = np.zeros((len(chosen), len(ids)))
    found[np.arange(len(chosen)), [ids.index(name) for name in chosen]] = 1.0
    return found


class Binned:
    """A policy whose contexts come in bins: ages, hours and days as names.

    For Vowpal Wabbit, which takes a number as it is, and a namespace by its first letter: `u` is
    the user, `d` the device, `m` the moment.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns what the policy says of the context in bins."""
        return self._policy.pmf(_binned(context), actions)

    def learn(self, decision: Decision, reward: float) -> None:
        """Has the policy learn the decision with its context in bins."""
        binned = msgspec.structs.replace(decision, context=_binned(decision.context))
        self._policy.learn(binned, reward)


def _binned(context: Context) -> Context:
    known = msgspec.json.decode(context)
    user = known["user"]
    binned = {
        "user": {"segment": user["segment"], "age": f"a{user['age'] // 10}"},
        "device": {"kind": known["device"]},
        "moment": {"part": f"p{known['hour'] // 4}", "weekday": f"d{known['weekday']}"},
    }
    return Context(msgspec.json.encode(binned))
