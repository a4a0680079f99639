"""Which of many candidates to show: those that promise most, and do not say the same.

Candidates are cheap and traffic is not, so many are written and few admitted. Where the log cannot
tell yet, texts are kept as they come: an untrusted model has no say.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from generator.errors import BackendMissing, RewardModelError
from generator.refresh import RotationState
from generator.reward.encoders import TextEncoder, check_reader, open_encoder
from generator.reward.model import (
    Reward,
    TextRewardModel,
    fit_reward_model,
    load_reward_model,
)
from generator.reward.regression import from_states
from generator.screening.settings import Thresholds
from generator.settings import CACHE
from generator.writing.texts import AS_THEY_COME, Rank, TextSelection
from streams.catalogue.state import Catalogue

OVER: Final = 4.0
"""How many texts pass for each that is kept, once it is known which are the best."""

logger = logging.getLogger(__name__)


def rank(
    candidates: Sequence[str],
    *,
    encoder: TextEncoder,
    model: Reward | None,
    k: int,
    diversity: float = 0.5,
) -> list[int]:
    """Returns the places of the `k` best candidates, the first one first; fewer if there are fewer.

    Each next one has most of (score in standard deviations) - diversity x (its closeness to
    those picked before, likewise): maximal marginal relevance (Carbonell & Goldstein 1998). A
    model that is not trusted has no say, and the order is that of diversity alone.

    Args:
        candidates: texts that passed the screen.
        encoder: what reads them; of the model, where there is one.
        model: of the placement's reward, or None.
        k: how many are wanted.
        diversity: what a standard deviation of closeness costs, 0 or more.
    """
    if not candidates:
        return []
    vectors, _ = encoder(candidates)
    value = np.zeros(len(candidates))
    if model is not None and model.accuracy.trusted:
        # A regression has no need to read them again.
        if isinstance(model, TextRewardModel):
            value = model.score_vectors(vectors).value
        else:
            value = model.score(candidates).value
    centred = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(lengths, 1e-12)
    cosine = unit @ unit.T
    merit = value / max(float(value.std()), 1e-12) if value.any() else value
    spread = (
        max(float(cosine[~np.eye(len(unit), dtype=bool)].std()), 1e-12) if len(unit) > 1 else 1.0
    )
    closest = np.zeros(len(candidates))
    left = np.ones(len(candidates), dtype=bool)
    picked: list[int] = []
    while left.any() and len(picked) < k:
        worth = np.where(left, merit - diversity * closest / spread, -np.inf)
        place = int(worth.argmax())
        picked.append(place)
        left[place] = False
        closest = np.maximum(closest, cosine[place]) if len(picked) > 1 else cosine[place].copy()
    return picked


def ranked_by(model: Reward) -> Rank:
    """Returns what orders texts by what they promise, for a `TextSelection`."""
    return lambda texts: rank(texts, encoder=model.reader, model=model, k=len(texts))


def open_reward_model(path: Path, cache: Path = CACHE) -> Reward:
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
    return load_reward_model(path, cache)


def open_trusted(path: Path, cache: Path = CACHE) -> Reward:
    """Returns the same, if it surely picks the better of two texts more often than a coin.

    Raises:
        RewardModelError: there is none, or it is not to be trusted.
        BackendMissing: what reads its texts is not installed.
    """
    model = open_reward_model(path, cache)
    if not model.accuracy.trusted:
        low, value = model.accuracy.interval.low, model.accuracy.value
        raise RewardModelError(
            f"the model in {path} picks the better of two in {value:.3f} of cases, {low:.3f} at "
            "least; it must surely be above one half to have a say"
        )
    return model


class CandidateRanking:
    """Selects by a reward model that is fitted on what all placements showed until then.

    Args:
        reader: what reads texts (`open_encoder`).
        thresholds: of the screen, None for the usual ones.

    Raises:
        RewardModelError: no reader is called so.
        BackendMissing: the reader's package is not installed.
    """

    def __init__(self, reader: str, thresholds: Thresholds | None = None) -> None:
        check_reader(reader)
        self._reader = reader
        self._as_they_come = AS_THEY_COME._replace(thresholds=thresholds)

    def selection(self, states: Mapping[str, RotationState], catalogue: Catalogue) -> TextSelection:
        """Returns how to select: by the model if it is trusted, else as texts come."""
        try:
            model = fit_reward_model(from_states(states, catalogue), self._encoder)
        except RewardModelError as error:
            logger.info("texts are not ranked by reward yet: %s", error)
            return self._as_they_come
        accuracy = model.accuracy
        logger.info(
            "reward model: right in %.3f of %d pairs (%.3f to %.3f), %s",
            accuracy.value,
            accuracy.n_pairs,
            accuracy.interval.low,
            accuracy.interval.high,
            "trusted" if model.accuracy.trusted else "not trusted: texts are kept as they come",
        )
        if not model.accuracy.trusted:
            return self._as_they_come
        return self._as_they_come._replace(over=OVER, rank=ranked_by(model))

    @cached_property
    def _encoder(self) -> TextEncoder:
        return open_encoder(self._reader, CACHE)
