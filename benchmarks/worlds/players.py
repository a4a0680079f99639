"""Who plays: copyloop's policies as they are served, and disjoint linear models in numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Final, Protocol, TypeAlias

import numpy as np

from bandit.policies import check_policy, default_policy, open_policy, parse_policy
from bandit.policy import Correctable, sample
from benchmarks.worlds.game import Epoch, Game
from streams.events import Decision, PolicySpec, RewardRule

WINDOW: Final = 1000
"""For so many rounds a policy that cannot be corrected waits for a reward."""


class Player(Protocol):
    """Is asked once a round, in order, and told what it earned."""

    def choose(self, number: int, epoch: Epoch) -> int:
        """Returns which of the live creatives to show."""

    def learn(self, number: int, epoch: Epoch, choice: int, reward: float) -> None:
        """Takes in a round's reward; when it is known is the player's own to see to."""


class Served:
    """A policy of copyloop's: spec, pmf, sample, learn, and corrections where rewards are late.

    Args:
        text: the policy as on the command line; `default` is what a placement gets that names
            none and has the game's rewards.
        game: what is played.
        seed: of the event ids, from which actions are sampled.
    """

    def __init__(self, text: str, game: Game, seed: int) -> None:
        rule = RewardRule(minimum=game.low, maximum=game.high)
        self.policy = open_policy(check_policy(spec_of(text, rule), "window", rule))
        self._game, self._seed = game, seed
        self._due: list[tuple[int, int, Decision, float]] = []
        self._correctable = isinstance(self.policy, Correctable)

    def choose(self, number: int, epoch: Epoch) -> int:
        """Learns what has come in the meantime, asks for the pmf, and samples from it."""
        self.take_due(number)
        self._pmf = self.policy.pmf(self._game.contexts[number], epoch.actions)
        self._event_id = f"{self._seed}/{number}"
        return sample(self._pmf, self._event_id)

    def take_due(self, number: int) -> None:
        """Learns, or corrects, the rewards that are known by a round."""
        while self._due and self._due[0][0] <= number:
            _, _, decision, reward = heappop(self._due)
            if isinstance(self.policy, Correctable):
                self.policy.correct(decision, 0.0, reward)
            else:
                self.policy.learn(decision, reward)

    def learn(self, number: int, epoch: Epoch, choice: int, reward: float) -> None:
        """Learns the reward, or 0 until it has come."""
        decision = Decision(
            event_id=self._event_id,
            placement="world",
            timestamp_ms=self._game.time_ms(number),
            context=self._game.contexts[number],
            actions=epoch.actions,
            pmf=tuple(self._pmf.tolist()),
            index=choice,
            policy_version="world",
        )
        late = 0 if self._game.delay is None else int(self._game.delay[number])
        if not late:
            self.policy.learn(decision, reward)
        elif self._correctable:
            self.policy.learn(decision, 0.0)
            if reward and late <= WINDOW:
                heappush(self._due, (number + late, number, decision, reward))
        else:
            heappush(
                self._due,
                (number + WINDOW, number, decision, reward if late <= WINDOW else 0.0),
            )


def spec_of(text: str, rule: RewardRule) -> PolicySpec:
    """Returns the spec that the text stands for at a placement with these rewards."""
    if text == "default":
        return default_policy(rule)
    spec = parse_policy(text)
    # What a person who takes it would say of such rewards.
    return spec | {"signed": True} if spec["name"] == "adaptive" and rule.minimum < 0.0 else spec


class Disjoint:
    """A Bayesian linear regression for each creative, by Thompson sampling or by upper bounds.

    Told the world's noise, and contexts as centred numbers: the best form for it.

    Args:
        game: what is played.
        seed: of the draws.
        width: how many standard deviations a draw, or a bound, goes.
        thompson: draw, or take the bound (Li et al. 2010, algorithm 1).
    """

    def __init__(self, game: Game, seed: int, *, width: float, thompson: bool) -> None:
        n_creatives, x = game.means.shape[1], game.covariates
        self._x = np.column_stack([np.ones(len(x)), x - x.mean(axis=0)])
        d = self._x.shape[1]
        self._mean = 0.0 if game.noise is None else float(game.means.mean())
        self._inverse = np.tile(np.eye(d), (n_creatives, 1, 1))
        self._response = np.zeros((n_creatives, d))
        self._weights = np.zeros((n_creatives, d))
        noise = np.sqrt(game.means[:1000].mean()) if game.noise is None else game.noise
        self._width, self._thompson = width * float(noise), thompson
        self._rng = np.random.default_rng(seed)

    def choose(self, number: int, epoch: Epoch) -> int:
        """Returns the highest draw, or bound."""
        x, live = self._x[number], epoch.columns
        mean = self._weights[live] @ x
        deviation = np.sqrt(np.einsum("i,kij,j->k", x, self._inverse[live], x, optimize=False))
        scale = self._rng.standard_normal(len(live)) if self._thompson else 1.0
        return int(np.argmax(mean + self._width * scale * deviation))

    def learn(self, number: int, epoch: Epoch, choice: int, reward: float) -> None:
        """Adds the round, at once."""
        arm, x = int(epoch.columns[choice]), self._x[number]
        inverse = self._inverse[arm]
        gain = inverse @ x
        inverse -= np.outer(gain, gain) / (1.0 + x @ gain)
        self._response[arm] += (reward - self._mean) * x
        self._weights[arm] = inverse @ self._response[arm]


class Counted:
    """Beta-Bernoulli or Normal Thompson sampling told the world's own level, by one draw each."""

    def __init__(self, game: Game, seed: int, *, strength: float) -> None:
        rates, n_creatives = game.means[:1000], game.means.shape[1]
        self._rng, self._noise = np.random.default_rng(seed), game.noise
        mean = float(rates.mean())
        self._n = np.full(n_creatives, strength / mean if game.noise is None else 1.0)
        self._total = np.full(n_creatives, strength if game.noise is None else mean)

    def choose(self, number: int, epoch: Epoch) -> int:
        """Returns the highest draw."""
        n, total = self._n[epoch.columns], self._total[epoch.columns]
        if self._noise is None:
            draws = self._rng.beta(total, np.maximum(n - total, 0.1))
        else:
            draws = self._rng.normal(total / n, self._noise / np.sqrt(n))
        return int(np.argmax(draws))

    def learn(self, number: int, epoch: Epoch, choice: int, reward: float) -> None:
        """Counts."""
        self._n[epoch.columns[choice]] += 1.0
        self._total[epoch.columns[choice]] += reward


Made: TypeAlias = Callable[[Game, int], Player]
"""Makes a player for a game and a seed."""

NUMPY: Final[dict[str, Made]] = {
    "numpy LinTS 0.3": partial(Disjoint, width=0.3, thompson=True),
    "numpy LinTS 1": partial(Disjoint, width=1.0, thompson=True),
    "numpy LinUCB 0.3": partial(Disjoint, width=0.3, thompson=False),
    "numpy LinUCB 1": partial(Disjoint, width=1.0, thompson=False),
    "numpy Thompson 1": partial(Counted, strength=1.0),
    "numpy Thompson 5": partial(Counted, strength=5.0),
}
