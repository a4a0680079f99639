"""Every action alike: what others are measured against, and what the best logs are made with.

It reads nothing and learns nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from bandit.errors import PolicyStateError
from bandit.policies.envelope import seal
from bandit.policies.spec import write_spec
from bandit.policy import Pmf
from streams.events import Action, Context, Decision, PolicySpec


class UniformConfig(
    Struct, frozen=True, tag_field="name", tag="uniform", forbid_unknown_fields=True
):
    """Uniform has no parameters."""


class Uniform:
    """Gives each of K actions 1/K.

    >>> from streams.events import EMPTY
    >>> Uniform(UniformConfig()).pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    context_free = True

    def __init__(self, config: UniformConfig, state: bytes | None = None) -> None:
        if state:
            raise PolicyStateError(f"{len(state)} bytes of state; uniform has none")
        self._config = config

    @property
    def spec(self) -> PolicySpec:
        """The name."""
        return write_spec(self._config)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns 1/K for each of the K actions, shape (n_actions,)."""
        return np.full(len(actions), 1.0 / len(actions))

    def learn(self, decision: Decision, reward: float) -> None:
        """Learns nothing."""

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Has nothing to correct."""

    def to_bytes(self) -> bytes:
        """Returns the spec; there is no state."""
        return seal(self.spec, b"")
