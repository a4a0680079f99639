"""Vowpal Wabbit as a policy: contextual exploration with its explorers and learners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import ClassVar, Final, Literal

import numpy as np
from msgspec import UNSET, UnsetType

from bandit.errors import PolicyError
from bandit.features.flatten import Feature, flatten, top_level, vw_text
from bandit.features.measure import count_values
from bandit.policies.base import Configured, PolicyConfig, check_reward, keep
from bandit.policies.vw.model import Line, VwModel
from bandit.policies.vw.options import interactions_of, split_options
from bandit.policy import Pmf
from streams.events import Action, Context, Decision, PolicySpec

SMALLEST_PROPENSITY: Final = 1e-6
"""A rarer action is learned from as if it had been this likely: costs, in 32 bits, are divided
by it."""


class VwConfig(PolicyConfig, frozen=True, kw_only=True, tag="vw"):
    """`args` are Vowpal Wabbit's own (`split_options`); they must make it explore.

    With `namespaces` "by_key", which is what args of your own get, what is at the top of a context
    is in the namespace `context`, of an action in `action`, and what is nested in the namespace of
    its top-level key. With "by_role", a context is in `c` and a creative's features in `a`, however
    they are nested: the default crosses these, whatever a placement's contexts are like. A
    creative's id is in `id`, unless `ids` is false. Interactions name namespaces by their first
    letter: `-q ui` crosses `user` and `id`.

    By itself a context says nothing of which action is the best, so the default leaves its
    features alone (`--ignore_linear c`). Names are hashed also where they are numbers, unless
    `args` say otherwise; policies in older logs have no `namespaces`, and there `7` and `007` are
    one feature.
    """

    added: ClassVar[Mapping[str, object]] = {"namespaces": "by_key"}

    args: str = (
        "--cb_explore_adf --squarecb --cb_type mtr -q ci -q ca --ignore_linear c -l 0.5 "
        "--gamma_scale 20"
    )
    ids: bool = True
    namespaces: Literal["by_key", "by_role"] | UnsetType = UNSET

    @classmethod
    def completed(cls, spec: PolicySpec) -> PolicySpec:
        """Returns the spec with namespaces: those that its args are about."""
        if "args" not in spec:
            spec = {"namespaces": "by_role", **spec}
        return super().completed(spec)


class Vw(Configured[VwConfig]):
    """Plays as one of Vowpal Wabbit's explorers says; a cost is a reward's negative.

    >>> from streams.events import EMPTY
    >>> policy = Vw(VwConfig(args="--cb_explore_adf --softmax -b 8"))
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    Config = VwConfig

    def __init__(self, config: VwConfig, state: bytes | None = None) -> None:
        super().__init__(config)
        self._by_role = config.namespaces == "by_role"
        self._model = VwModel(config.args, state, hash_all=config.namespaces is not UNSET)
        self._prepared: dict[tuple[str, bytes], Line] = {}
        self._interactions = interactions_of(split_options(config.args))

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
        """Has the model learn the cost of the chosen action at its propensity."""
        cost = -check_reward(reward)
        propensity = min(max(decision.propensity, SMALLEST_PROPENSITY), 1.0)
        lines, order = self._lines(decision.context, decision.actions)
        chosen = order.index(decision.index) + 1
        lines[chosen] = self._model.parse(f"0:{cost:.9g}:{propensity:.9g} {lines[chosen].text}")
        self._model.learn(lines)

    def steps(self, context: Context, actions: Sequence[Action]) -> int:
        """Returns how many steps an answer takes, at most: a product of features is one.

        Raises:
            FeatureError: the context or an action is no JSON object.
        """
        shared, total = self._counted(context, "context"), 0
        for action in actions:
            counts = shared + self._counted(action.features, "action") + Counter("i")
            counts[ANY_NAMESPACE] = counts.total()
            total += FEATURE_STEPS * counts[ANY_NAMESPACE]
            total += sum(prod(counts[letter] for letter in each) for each in self._interactions)
        return total

    def _counted(self, features: Context, namespace: str) -> Counter[str]:
        counts = count_by_letter(features, namespace)
        return Counter({namespace[0]: counts.total()}) if self._by_role else counts

    def _state(self) -> bytes:
        return self._model.to_bytes()

    def _lines(self, context: Context, actions: Sequence[Action]) -> tuple[list[Line], list[int]]:
        """Returns the shared line and each action's, by id, and which action each of those is."""
        keys = [(action.id, bytes(action.features)) for action in actions]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        shared = vw_text(self._placed(flatten(context, namespace="context"), "c"))
        lines = [self._model.parse(f"shared {shared or '|'}")]
        for place, i in enumerate(order):
            line = self._prepared.get(keys[i]) or self._prepare(actions[i], keys[i])
            if place and keys[i] == keys[order[place - 1]]:
                # One multi-line example cannot hold the same parsed line twice.
                line = self._model.parse(line.text)
            lines.append(line)
        return lines, order

    def _placed(self, features: list[Feature], role: str) -> list[Feature]:
        """Returns the features in the namespaces that the policy has."""
        if not self._by_role:
            return features
        return [Feature(role, f"{namespace} {name}", value) for namespace, name, value in features]

    def _prepare(self, action: Action, key: tuple[str, bytes]) -> Line:
        """Returns the action's line, and keeps it for the next time."""
        features = self._placed(flatten(action.features, namespace="action"), "a")
        if self._config.ids:
            features.insert(0, Feature("id", action.id, 1.0))
        return keep(self._prepared, key, self._model.parse(vw_text(features) or "|"))


ANY_NAMESPACE: Final = ":"
FEATURE_STEPS: Final = 8
"""A feature is copied into each action's example, which takes longer than to multiply two."""


def count_by_letter(features: Context, namespace: str) -> Counter[str]:
    """Returns how many features there are, at most, by the first letter of their namespace.

    Raises:
        FeatureError: not an object.

    >>> from msgspec import Raw
    >>> context = Raw(b'{"hour": 1, "user": {"a": [2, 3]}, "device": "phone"}')
    >>> sorted(count_by_letter(context, "context").items())
    [('c', 2), ('u', 4)]
    """
    counts: Counter[str] = Counter()
    for key, value in top_level(features).items():
        nested = memoryview(value)[0] in b"{["
        counts[(key if nested else namespace)[:1]] += count_values(bytes(value)) if nested else 1
    return counts
