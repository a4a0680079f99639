"""Reward models from where they were saved, and only such as may have a say."""

from __future__ import annotations

from pathlib import Path

from generator.errors import BackendMissing, RewardModelError
from generator.reward.encoders import open_encoder
from generator.reward.model import Reward, load_reward_model, saved_encoder


def open_reward_model(path: Path, cache: Path) -> Reward:
    """Returns the reward model at a path, with what reads its texts.

    Args:
        path: the file that `copyloop generator reward-model` wrote, or the folder of a run of
            `copyloop generator finetune --method reward`.
        cache: the folder in which the packaged model is made loadable.

    Raises:
        RewardModelError: there is none.
        BackendMissing: what reads its texts, or loads it, is not installed.
    """
    if path.is_dir():
        # torch takes seconds, and the regression does without.
        try:
            from generator.reward.transformer import load_transformer_reward
        except ImportError as error:
            raise BackendMissing(f"{error}; pip install 'copyloop[finetune]'") from error

        return load_transformer_reward(path, cache)
    return load_reward_model(path, open_encoder(saved_encoder(path), cache))


def open_trusted(path: Path, cache: Path) -> Reward:
    """Returns the same, if it surely picks the better of two texts more often than a coin.

    Raises:
        RewardModelError: there is none, or it is not to be trusted.
        BackendMissing: what reads its texts is not installed.
    """
    model = open_reward_model(path, cache)
    if not model.trusted:
        low, value = model.accuracy.interval.low, model.accuracy.value
        raise RewardModelError(
            f"the model in {path} picks the better of two in {value:.3f} of cases, {low:.3f} at "
            "least; it must surely be above one half to have a say"
        )
    return model
