"""Vowpal Wabbit as a policy: contextual exploration with its explorers and learners.

What is specific to Vowpal Wabbit's way of learning from decisions is here: how contexts and
actions are written for it, how a reward becomes a labelled cost, how its answer becomes a pmf.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from bandit.errors import PolicyError
from bandit.features import Feature, flatten, vw_text
from bandit.policies.envelope import seal
from bandit.policies.rewards import check_reward
from bandit.policies.spec import write_spec
from bandit.policies.vw_model import Line, VwModel
from bandit.policy import Pmf
from streams.events import Action, Context, Decision, PolicySpec

CACHE_SIZE: Final = 16_384
SMALLEST_PROPENSITY: Final = 1e-6
"""A rarer action is learned from as if it had been this likely: costs, in 32 bits, are divided
by it."""


class VwConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="vw", forbid_unknown_fields=True
):
    """`args` are Vowpal Wabbit's own (`vw_options`); they must make it explore.

    What is at the top of a context is in the namespace `context`, of an action in `action`; what
    is nested is in the namespace of its top-level key, and a creative's id in `id`, unless `ids`
    is false. Interactions name namespaces by their first letter: `-q ui` crosses `user` and `id`.
    The default learns slowly (`-l`), since creatives bring an embedding: on real headline tests
    that earns more than ids alone, and the usual rate of 0.5 less.
    """

    args: str = "--cb_explore_adf --squarecb --cb_type mtr -l 0.05"
    ids: bool = True


class Vw:
    """Plays as one of Vowpal Wabbit's explorers says; a cost is a reward's negative.

    >>> from streams.events import EMPTY
    >>> policy = Vw(VwConfig(args="--cb_explore_adf --softmax -b 8"))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    def __init__(self, config: VwConfig, state: bytes | None = None) -> None:
        self._config = config
        self._model = VwModel(config.args, state)
        self._prepared: dict[tuple[str, bytes], Line] = {}

    @property
    def spec(self) -> PolicySpec:
        """The name, the arguments, and whether ids are features."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns what the explorer says of each action, shape (n_actions,).

        Raises:
            FeatureError: the context or an action has features that cannot be read.
            PolicyError: the model answers no pmf, since what it learned has no bounds.
        """
        lines, order = self._lines(context, actions)
        pmf = np.zeros(len(actions))
        for position, propensity in self._model.predict(lines):
            pmf[order[position]] = propensity
        total = pmf.sum()
        if not (np.isfinite(total) and total > 0.0 and pmf.min() >= 0.0):
            raise PolicyError(
                f"vw answers {pmf[:5].tolist()}, which is no pmf; lower the learning rate (-l)"
            )
        # In 32 bits the sum is 1 only roughly, and --regcbopt says 1 of each action in a tie.
        pmf /= total
        return pmf

    def learn(self, decision: Decision, reward: float) -> None:
        """Has the model learn the cost of the chosen action at its propensity.

        Raises:
            FeatureError: features that cannot be read; nothing was learned.
            LearnError: `reward_out_of_range`, a reward beyond a billion.
        """
        cost = -check_reward(reward)
        propensity = min(max(decision.propensity, SMALLEST_PROPENSITY), 1.0)
        lines, order = self._lines(decision.context, decision.actions)
        chosen = order.index(decision.index) + 1
        lines[chosen] = self._model.parse(f"0:{cost:.9g}:{propensity:.9g} {lines[chosen].text}")
        self._model.learn(lines)

    def to_bytes(self) -> bytes:
        """Returns spec and model."""
        return seal(self.spec, self._model.to_bytes())

    def _lines(self, context: Context, actions: Sequence[Action]) -> tuple[list[Line], list[int]]:
        """Returns the shared line and each action's, and which action each of those is.

        They come by id, so that the order in which actions were asked for never shows.
        """
        keys = [(action.id, bytes(action.features)) for action in actions]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        shared = vw_text(flatten(context, namespace="context"))
        lines = [self._model.parse(f"shared {shared or '|'}")]
        lines += (self._prepared.get(keys[i]) or self._prepare(actions[i], keys[i]) for i in order)
        return lines, order

    def _prepare(self, action: Action, key: tuple[str, bytes]) -> Line:
        """Returns the action's line, and keeps it for the next time."""
        features = flatten(action.features, namespace="action")
        if self._config.ids:
            features.insert(0, Feature("id", action.id, 1.0))
        line = self._model.parse(vw_text(features) or "|")
        if len(self._prepared) >= CACHE_SIZE:
            self._prepared.clear()
        self._prepared[key] = line
        return line
