"""Every estimator by its name.

What needs a reward model's predictions, and what needs to know the range of rewards, is said
here, so that a command can ask for it before it reads a log.
"""

from __future__ import annotations

from typing import Final

from bandit.errors import EstimateError
from bandit.estimator import Estimator
from bandit.estimators.blend import Blend
from bandit.estimators.bounded import UNIT, BernsteinIps, BettingIps, RewardRange
from bandit.estimators.doubly_robust import Dm, Dr, DrOs, Sndr, SwitchDr
from bandit.estimators.importance import ClippedIps, Ips, Snips
from bandit.estimators.replay import Replay
from bandit.estimators.running import Formula, Running

FORMULAS: Final[dict[str, Formula]] = {
    "ips": Ips(),
    "clipped_ips": ClippedIps(),
    "snips": Snips(),
    "dm": Dm(),
    "dr": Dr(),
    "sndr": Sndr(),
    "switch_dr": SwitchDr(),
    "dros": DrOs(),
}
ESTIMATORS: Final = ("replay", *FORMULAS, "blend", "betting", "bernstein")
WITH_MODEL: Final = ("dm", "dr", "sndr", "switch_dr", "dros", "blend")
"""Those that need a reward model's predictions."""


def open_estimator(
    name: str, *, reward_range: RewardRange = UNIT, max_weight: float | None = None
) -> Estimator:
    """Returns a new estimator of this name, that has seen nothing yet.

    Args:
        name: one of `ESTIMATORS`.
        reward_range: for `betting` and `bernstein`.
        max_weight: for `betting`; the largest that a weight can be, if known.

    Raises:
        EstimateError: there is no estimator of this name.
    """
    if name in FORMULAS:
        return Running(FORMULAS[name])
    match name:
        case "replay":
            return Replay()
        case "blend":
            return Blend()
        case "betting":
            return BettingIps(reward_range=reward_range, max_weight=max_weight)
        case "bernstein":
            return BernsteinIps(reward_range=reward_range)
        case _:
            known = ", ".join(ESTIMATORS)
            raise EstimateError(f"estimator is {name!r}; expected one of: {known}")
