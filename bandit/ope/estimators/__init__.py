"""Every estimator by its name.

What needs a reward model's predictions, and what needs to know the range of rewards, is said
here, so that a command can ask for it before it reads a log.
"""

from __future__ import annotations

from typing import Final

from bandit.errors import EstimateError
from bandit.ope.base import UNIT, Batch, Estimator, RewardRange
from bandit.ope.estimators.bounded import BernsteinIps, BettingIps
from bandit.ope.estimators.cross_validated import CrossValidated
from bandit.ope.estimators.doubly_robust import Blend, Dm, Dr, DrOs, Sndr, SwitchDr
from bandit.ope.estimators.importance import ClippedIps, Ips, Mips, Replay, Snips
from bandit.ope.estimators.running import Formula, Resampled, RunningEstimate
from bandit.ope.estimators.slates import SlatePi, Slates, SlatesBySlot, SlateSnips

FORMULAS: Final[dict[str, Formula[Batch]]] = {
    "ips": Ips(),
    "clipped_ips": ClippedIps(),
    "snips": Snips(),
    "mips": Mips(),
    "dm": Dm(),
    "dr": Dr(),
    "sndr": Sndr(),
    "switch_dr": SwitchDr(),
    "dros": DrOs(),
    "mrdr": Dr(),
}
"""Those that are a function of means; `mrdr` is DR with a model fitted to make it vary least."""
ESTIMATORS: Final = ("replay", *FORMULAS, "blend", "cross_validated", "betting", "bernstein")
SLATES: Final = ("slate_snips", "slate_cascade", "slate_independent", "slate_pi")
"""Those of events with several slots."""
WITH_MODEL: Final = (
    "dm", "dr", "sndr", "switch_dr", "dros", "mrdr", "blend", "cross_validated",
)  # fmt: skip
"""Those that need a reward model's predictions."""


def open_estimator(
    name: str,
    *,
    reward_range: RewardRange = UNIT,
    max_weight: float | None = None,
    bootstrap: bool = False,
) -> Estimator:
    """Returns a new estimator of this name, that has seen nothing yet.

    Args:
        name: one of `ESTIMATORS`.
        reward_range: for `betting` and `bernstein`; for others, where all rewards are alike.
        max_weight: for `betting`; the largest that a weight can be, if known.
        bootstrap: have the standard errors of formulas from the bootstrap.

    Raises:
        EstimateError: there is no estimator of this name.
    """
    if name in FORMULAS:
        formula = FORMULAS[name]
        return (Resampled if bootstrap else RunningEstimate)(formula, reward_range)
    others: dict[str, Estimator] = {
        "replay": Replay(reward_range),
        "blend": Blend(reward_range),
        "cross_validated": CrossValidated(reward_range),
        "betting": BettingIps(reward_range=reward_range, max_weight=max_weight),
        "bernstein": BernsteinIps(reward_range=reward_range),
    }
    if name not in others:
        known = ", ".join((*ESTIMATORS, *SLATES))
        raise EstimateError(f"estimator is {name!r}; expected one of: {known}")
    return others[name]


def slate_formula(name: str, slots: int) -> Formula[Slates]:
    """Returns the formula of this name for events of up to so many slots."""
    formulas: dict[str, Formula[Slates]] = {
        "slate_snips": SlateSnips(),
        "slate_cascade": SlatesBySlot(slots, cascade=True),
        "slate_independent": SlatesBySlot(slots, cascade=False),
        "slate_pi": SlatePi(),
    }
    if name not in formulas:
        raise EstimateError(f"estimator is {name!r}; expected one of: {', '.join(SLATES)}")
    return formulas[name]
