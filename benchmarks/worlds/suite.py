"""Which worlds and seeds a policy may be tuned on, and which only judge it.

The split was made before anything was tuned. To move a world from one half to the other makes
every figure of `held_out` worthless.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from benchmarks.upworthy import DATA
from benchmarks.worlds import real, synthetic
from benchmarks.worlds.game import Game


class Half(NamedTuple):
    """Worlds by their functions' names, and the first of the seeds with which they are made."""

    worlds: tuple[Callable[[int], Game], ...]
    first_seed: int


_NEED_DATA: Final = (real.early_headlines, real.late_headlines, real.open_bandit)

HALVES: Final = {
    "tuning": Half(
        (
            synthetic.two_close,
            synthetic.misleading_texts,
            synthetic.telling_texts,
            synthetic.market,
            synthetic.useless_context,
            synthetic.drift,
            synthetic.churn,
            synthetic.crowd,
            synthetic.profit,
            real.digits,
            real.early_headlines,
        ),
        100,
    ),
    "held_out": Half(
        (
            synthetic.one_good,
            synthetic.rare,
            synthetic.thousand,
            synthetic.many_fields,
            synthetic.sudden,
            synthetic.day_and_delay,
            synthetic.turning_tastes,
            synthetic.large_rewards,
            synthetic.returning_users,
            real.cancer,
            real.wine,
            real.late_headlines,
            real.open_bandit,
        ),
        9000,
    ),
}


def worlds_of(half: str) -> dict[str, Callable[[int], Game]]:
    """Returns the worlds of a half by name, without those whose data is not there."""
    return {
        world.__name__: world
        for world in HALVES[half].worlds
        if world not in _NEED_DATA or DATA.exists()
    }
