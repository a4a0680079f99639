"""What a creative's text promises: a model of reward, learned from those that were shown.

`fit_reward_model` learns from `Example`s, `RewardModel` scores and compares texts and says whether
it may be trusted, `rank` orders candidates by it before anyone sees them.
"""

from generator.reward.encoders import Encoder, open_encoder
from generator.reward.examples import Example, from_ab_tests, from_states
from generator.reward.model import Reward, RewardModel, fit_reward_model
from generator.reward.ranking import Ranked, rank, ranked_by

__all__ = [
    "Encoder",
    "Example",
    "Ranked",
    "Reward",
    "RewardModel",
    "fit_reward_model",
    "from_ab_tests",
    "from_states",
    "open_encoder",
    "rank",
    "ranked_by",
]
