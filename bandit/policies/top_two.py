"""Top-two Thompson sampling: to find out which creative is the best, and to know when to stop.

Thompson sampling earns, and so hardly shows what is probably second: to be sure takes it long.
This policy gives the leader's rivals a share of their own (Russo 2016), and says when it is sure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np
from msgspec import Meta, Struct

from bandit.policies.best import Floats
from bandit.policies.envelope import seal, unseal
from bandit.policies.spec import Share, write_spec
from bandit.policies.thompson import Pseudocount, Thompson, ThompsonConfig
from bandit.policy import Pmf, Verdict
from streams.events import EMPTY, Action, Context, Decision, PolicySpec

# Two creatives that can never be the best are as good rivals of the leader as each other.
_LEAST: Final = 1e-300


class TopTwoConfig(
    Struct, frozen=True, kw_only=True, tag_field="name", tag="top_two", forbid_unknown_fields=True
):
    """The prior Beta(alpha, beta) of every creative's rate, and how the search is run.

    `share` is how often the draw itself is shown and not its rival; at 1 this is `thompson`.
    `threshold` is how probably the best a creative must be for the search to be over.
    """

    alpha: Pseudocount = 1.0
    beta: Pseudocount = 99.0
    share: Share = 0.5
    threshold: Annotated[float, Meta(gt=0.5, lt=1.0)] = 0.95


class TopTwo:
    """Top-two Thompson sampling (Russo 2016, section 3.3) for rewards in [0, 1].

    Draws a creative as `thompson` does; shows it `share` of the time, and else draws on until
    another comes. With p_i the posterior of i being the best that is a pmf in closed form:
    pmf_i = p_i · (share + (1 − share) · Σ_{j≠i} p_j / (1 − p_j)).

    >>> from streams.events import EMPTY
    >>> policy = TopTwo(TopTwoConfig())
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).round(3).tolist()
    [0.5, 0.5]
    """

    context_free = True

    def __init__(self, config: TopTwoConfig, state: bytes | None = None) -> None:
        self._config = config
        # It keeps the arms, and the posteriors that were asked for last.
        prior = ThompsonConfig(alpha=config.alpha, beta=config.beta)
        self._thompson = Thompson(prior, None if state is None else unseal(state)[1])
        self.correct = self._thompson.correct
        self.beliefs = self._thompson.beliefs

    @property
    def spec(self) -> PolicySpec:
        """The name, the prior, share and threshold."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the mixture of draw and rival, shape (n_actions,), within 1e-3.

        It is exact but for the posteriors, which are an integral.
        """
        best = self._thompson.pmf(context, actions)
        if len(best) == 1:
            return best
        return _top_two(best, self._config.share)

    def verdict(self, actions: Sequence[Action]) -> Verdict:
        """Returns which action is the best, how probably, and whether that is enough."""
        best = self._thompson.pmf(EMPTY, actions)
        leader = int(best.argmax())
        posterior = float(best[leader])
        return Verdict(actions[leader].id, posterior, posterior >= self._config.threshold)

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the reward to the chosen creative's.

        Raises:
            LearnError: `reward_out_of_range`, a reward that is not in [0, 1].
        """
        self._thompson.learn(decision, reward)

    def to_bytes(self) -> bytes:
        """Returns the spec, and the bytes of Thompson sampling as the state."""
        return seal(self.spec, self._thompson.to_bytes())


def _top_two(best: Floats, share: float) -> Pmf:
    """Returns the pmf of `TopTwo`, from the posteriors of at least two actions.

    Sums are rounded once, so that the order of the actions does not show in them.
    """
    best = np.maximum(best, _LEAST)
    leader = int(best.argmax())
    # What a clear leader leaves to the others is added up, since 1 − p would lose it.
    clear = best[leader] > 0.5
    rest = 1.0 - best
    if clear:
        rest[leader] = math.fsum(np.delete(best, leader))
    odds = best / rest
    others = math.fsum(odds) - odds
    if clear:
        others[leader] = math.fsum(np.delete(odds, leader))
    pmf: Pmf = best * (share + (1.0 - share) * others)
    return pmf / math.fsum(pmf)
