"""The slots of one event, brought together again.

In a log every slot is a decision of its own, and other events' may lie between. A page is taken
to be whole once enough others were begun after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from bandit.estimator import Batch
from bandit.estimators.slates import Slates
from bandit.readers.logged import LoggedEvent

HELD: Final = 4000

_Row: TypeAlias = tuple[int, float, float, float]


class Pages:
    """Collects decisions by event, and hands out what is whole as `Slates`.

    A slot that is not in the log, since it was never shown, counts as if the page had none.

    Args:
        slots: how many an event has at most.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._open: dict[str, list[_Row]] = {}

    def add(self, events: Sequence[LoggedEvent], batch: Batch) -> None:
        """Takes in decisions; `batch` holds them as columns."""
        columns = zip(
            batch.reward.tolist(), batch.propensity.tolist(), batch.target.tolist(), strict=True
        )
        for event, values in zip(events, columns, strict=True):
            decision = event.decision
            self._open.setdefault(decision.event_id, []).append((decision.slot, *values))

    def take(self, *, all_of_them: bool = False) -> Slates | None:
        """Returns the pages that are whole; None if there are too few to bother."""
        ready = len(self._open) if all_of_them else len(self._open) - HELD
        if ready <= 0 or (ready < HELD and not all_of_them):
            return None
        reward = np.zeros((ready, self._slots))
        propensity, target = np.ones_like(reward), np.ones_like(reward)
        for row, event_id in enumerate(list(self._open)[:ready]):
            for slot, *values in self._open.pop(event_id):
                reward[row, slot], propensity[row, slot], target[row, slot] = values
        return Slates(reward, propensity, target)
