"""Which of the texts that pass the screen promise most, as far as a placement's log can tell.

Where the log cannot tell yet, texts are kept as they come: an untrusted model has no say.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from generator.errors import RewardModelError
from generator.reward import Encoder, fit_reward_model, from_states, open_encoder, ranked_by
from generator.reward.encoders import check_reader
from generator.reward.saved import open_trusted
from generator.rotation import RotationState
from generator.screening import Thresholds
from generator.settings import CACHE
from generator.writing.texts import AS_THEY_COME, Rank, Selection
from streams.catalogue import Catalogue

OVER: Final = 4.0
"""How many texts pass for each that is kept, once it is known which are the best."""

logger = logging.getLogger(__name__)


class Promising:
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

    def selection(self, states: Mapping[str, RotationState], catalogue: Catalogue) -> Selection:
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
            "trusted" if model.trusted else "not trusted: texts are kept as they come",
        )
        if not model.trusted:
            return self._as_they_come
        return self._as_they_come._replace(over=OVER, rank=ranked_by(model, self._encoder))

    @cached_property
    def _encoder(self) -> Encoder:
        return open_encoder(self._reader, CACHE)


def ranking_of(path: Path) -> Rank:
    """Returns the ranking by a saved reward model.

    Raises:
        RewardModelError: there is none in this file, or it is not to be trusted.
        BackendMissing: what reads its texts is not installed.
    """
    model = open_trusted(path, CACHE)
    return ranked_by(model, model.reader)
