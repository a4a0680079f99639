"""MABWiser, contextualbandits, river and Vowpal Wabbit's own binding as players.

They are an extra (`pip install '.[bench]'`); a library that is missing is left out with a message.
The first two are fastest in batches, so they are told every `BATCH` rounds what was earned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Final

import numpy as np

from bandit.features.flatten import Feature, flatten, vw_text
from benchmarks.worlds.game import Epoch, Game
from benchmarks.worlds.players import Made

BATCH: Final = 10


class _Batched:
    """Collects rounds until there are enough to be fitted."""

    def __init__(self, game: Game) -> None:
        x = game.covariates
        self.x = x - x.mean(axis=0) if x.shape[1] else np.ones((game.rounds, 1))
        self._told: list[tuple[int, str, float]] = []

    def learn(self, number: int, epoch: Epoch, choice: int, reward: float) -> None:
        """Tells the library, or keeps it for the next batch."""
        self._told.append((number, epoch.actions[choice].id, reward))
        if len(self._told) >= BATCH:
            live = {action.id for action in epoch.actions}
            told = [each for each in self._told if each[1] in live]
            self._told = []
            if told:
                self._fit(told)

    def _fit(self, told: list[tuple[int, str, float]]) -> None:
        raise NotImplementedError


class MabWiser(_Batched):
    """One of MABWiser's learning policies, with scaled rewards."""

    def __init__(self, game: Game, seed: int, *, policy: str, **parameters: Any) -> None:
        super().__init__(game)
        self._policy, self._parameters, self._seed = policy, parameters, seed
        self._scale = 1.0 if game.noise is None else game.noise
        self._middle = 0.0 if game.noise is None else float(game.means.mean())
        self._live: tuple[Any, ...] = ()
        self._mab: Any = None

    def choose(self, number: int, epoch: Epoch) -> int:
        """Returns what the library chooses."""
        if epoch.actions is not self._live:
            self._show([action.id for action in epoch.actions])
            self._live = epoch.actions
        chosen = self._mab.predict(self.x[number : number + 1])
        return self._place[chosen]

    def _show(self, ids: list[str]) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self._place = {name: place for place, name in enumerate(ids)}
        if self._mab is None:
            policy = getattr(LearningPolicy, self._policy)(**self._parameters)
            self._mab = MAB(ids, policy, seed=self._seed)
            # It answers only what was fitted; one made-up row each, without a reward.
            self._mab.fit(ids, [0.0] * len(ids), np.zeros((len(ids), self.x.shape[1])))
        for gone in set(self._mab.arms) - set(ids):
            self._mab.remove_arm(gone)
        for new in [name for name in ids if name not in self._mab.arms]:
            self._mab.add_arm(new)

    def _fit(self, told: list[tuple[int, str, float]]) -> None:
        numbers, names, rewards = zip(*told, strict=True)
        scaled = (np.array(rewards) - self._middle) / self._scale
        self._mab.partial_fit(list(names), scaled.tolist(), self.x[list(numbers)])


class ContextualBandits(_Batched):
    """One of contextualbandits' online policies on its own linear regression."""

    def __init__(self, game: Game, seed: int, *, policy: str, **parameters: Any) -> None:
        super().__init__(game)
        self._policy, self._parameters, self._seed = policy, parameters, seed
        self._scale = 1.0 if game.noise is None else game.noise
        self._middle = 0.0 if game.noise is None else float(game.means.mean())
        self._live: tuple[Any, ...] = ()
        self._model: Any = None
        self._ids: list[str] = []

    def choose(self, number: int, epoch: Epoch) -> int:
        """Returns what the library chooses."""
        if epoch.actions is not self._live:
            self._show([action.id for action in epoch.actions])
            self._live = epoch.actions
        return self._place[self._model.predict(self.x[number : number + 1])[0]]

    def _show(self, ids: list[str]) -> None:
        from contextualbandits import online

        self._place = {name: place for place, name in enumerate(ids)}
        if self._model is None:
            policy = getattr(online, self._policy)
            self._model = policy(ids, **self._parameters, random_state=self._seed)
            self._ids = ids
            zeros = np.zeros((len(ids), self.x.shape[1]))
            self._model.partial_fit(zeros, np.array(ids), np.zeros(len(ids)))
        for gone in [name for name in self._ids if name not in ids]:
            self._model.drop_arm(gone)
        for new in [name for name in ids if name not in self._ids]:
            self._model.add_arm(new)
        self._ids = ids

    def _fit(self, told: list[tuple[int, str, float]]) -> None:
        numbers, names, rewards = zip(*told, strict=True)
        scaled = (np.array(rewards) - self._middle) / self._scale
        self._model.partial_fit(self.x[list(numbers)], np.array(names), scaled)


class River:
    """river's disjoint LinUCB, on dicts."""

    def __init__(self, game: Game, seed: int, *, alpha: float) -> None:
        from river import bandit

        self._policy = bandit.LinUCBDisjoint(alpha=alpha, seed=seed)
        x = game.covariates
        centred = x - x.mean(axis=0) if x.shape[1] else x
        self._x = np.column_stack([np.ones(game.rounds), centred])
        self._names = [f"x{j}" for j in range(self._x.shape[1])]
        self._scale = 1.0 if game.noise is None else game.noise
        self._middle = 0.0 if game.noise is None else float(game.means.mean())

    def choose(self, number: int, epoch: Epoch) -> int:
        """Returns what the library chooses."""
        context = dict(zip(self._names, self._x[number].tolist(), strict=True))
        return int(self._policy.pull(list(range(len(epoch.actions))), context=context))

    def learn(self, number: int, epoch: Epoch, choice: int, reward: float) -> None:
        """Tells the library, or keeps it for the next batch."""
        context = dict(zip(self._names, self._x[number].tolist(), strict=True))
        self._policy.update(choice, context, (reward - self._middle) / self._scale)


class Vw:
    """Vowpal Wabbit's official binding, with contexts crossed with the creative's id."""

    def __init__(self, game: Game, seed: int, *, args: str) -> None:
        from vowpalwabbit import Workspace

        self._vw = Workspace(f"--cb_explore_adf --quiet --random_seed {seed + 1} {args}")
        self._rng = np.random.default_rng(seed)
        self._game = game
        self._scale = 1.0 if game.noise is None else game.high - game.low
        self._lines: dict[str, str] = {}

    def choose(self, number: int, epoch: Epoch) -> int:
        """Returns what the library chooses."""
        self._text = [self._shared(number), *map(self._line, epoch.actions)]
        self._pmf = np.array(self._vw.predict(self._text))
        self._pmf /= self._pmf.sum()
        return int(self._rng.choice(len(self._pmf), p=self._pmf))

    def learn(self, number: int, epoch: Epoch, choice: int, reward: float) -> None:
        """Tells the library, or keeps it for the next batch."""
        lines = list(self._text)
        label = f"0:{-reward / self._scale}:{max(self._pmf[choice], 1e-4)}"
        lines[choice + 1] = f"{label} {lines[choice + 1]}"
        self._vw.learn(lines)

    def _shared(self, number: int) -> str:
        features = flatten(self._game.contexts[number], namespace="context")
        # One namespace for all of a context: interactions name namespaces by a letter.
        return "shared " + vw_text(
            [Feature("s", f"{f.namespace}.{f.name}", f.value) for f in features]
        )

    def _line(self, action: Any) -> str:
        line = self._lines.get(action.id)
        if line is None:
            features = flatten(action.features, namespace="action")
            named = [Feature("t", f"{f.namespace}.{f.name}", f.value) for f in features]
            line = vw_text([Feature("i", f"id_{action.id}", 1.0), *named])
            self._lines[action.id] = line
        return line


_PEERS: Final[dict[str, tuple[str, Made]]] = {
    "MABWiser LinTS": ("mabwiser", partial(MabWiser, policy="LinTS", alpha=0.2, l2_lambda=1.0)),
    "MABWiser LinUCB": ("mabwiser", partial(MabWiser, policy="LinUCB", alpha=0.2, l2_lambda=1.0)),
    "contextualbandits LinUCB": (
        "contextualbandits",
        partial(ContextualBandits, policy="LinUCB", alpha=0.2, lambda_=1.0, ucb_from_empty=True),
    ),
    "contextualbandits LinTS": (
        "contextualbandits",
        partial(ContextualBandits, policy="LinTS", v_sq=0.05, lambda_=1.0),
    ),
    "river LinUCB": ("river.bandit", partial(River, alpha=0.2)),
    "VW squarecb": (
        "vowpalwabbit",
        partial(Vw, args="--squarecb --gamma_scale 300 --cb_type mtr -q si -l 0.1 --power_t 0"),
    ),
    "VW epsilon": ("vowpalwabbit", partial(Vw, args="--epsilon 0.05 --cb_type mtr -q si -l 0.1")),
}


def installed(say: Callable[[str], None]) -> dict[str, Made]:
    """Returns the peers whose libraries are there, and says which are not."""
    found: dict[str, Made] = {}
    for name, (library, made) in _PEERS.items():
        try:
            import_module(library)
        except (ImportError, TypeError) as error:
            # river 0.26 subscripts a class of the standard library that Python 3.11 does not.
            say(f"{name} is left out: {error}; is '.[bench]' installed?")
        else:
            found[name] = made
    return found
