"""Which rewards a policy can learn from; refused before they touch its state."""

from __future__ import annotations

from typing import Final

from bandit.errors import LearnError

LARGEST: Final = 1e9
"""What any policy takes, either side of 0: squares and sums of it stay finite in 32 bits."""


def check_reward(reward: float, *, low: float = -LARGEST, high: float = LARGEST) -> float:
    """Returns the reward.

    Raises:
        LearnError: `reward_out_of_range`, it is not within [low, high], or not a number.
    """
    if not low <= reward <= high:
        raise LearnError(
            "reward_out_of_range",
            f"reward {reward}, expected {low:g} to {high:g}; set the placement's reward minimum "
            "and maximum, or a policy for such rewards",
        )
    return reward


def check_share(reward: float) -> float:
    """Returns the reward.

    Raises:
        LearnError: `reward_out_of_range`, it is not within [0, 1].
    """
    return check_reward(reward, low=0.0, high=1.0)
