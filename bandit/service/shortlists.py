"""Draws the candidates of a decision where a placement has more creatives than one should hold.

A request pays for its own draw. What is drawn from is prepared once for each policy version, or
seldom enough to take a twentieth of the time where versions come faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.eligibility import WeightedSample, WeightedSampler, digest, seed_of
from bandit.policy import Pmf
from bandit.service.slots import SlotRequest
from streams.events import EMPTY, Action, Context
from streams.events.placement import Shortlist, Shortlisted

KEPT_FOR: Final = 20.0
"""How many times as long as it took to find them weights are kept, whatever policy comes then."""


PmfOf: TypeAlias = Callable[[Context, tuple[Action, ...]], Pmf]
"""What the policy gives these actions in this context."""


class _Kept(NamedTuple):
    """Weights, whose they are, and until when on the clock they are kept for another."""

    version: str
    sampler: WeightedSampler
    until: float


class DrawnShortlist(NamedTuple):
    """A shortlist: `actions`, in the creatives' order, and how it was drawn."""

    actions: tuple[Action, ...]
    sampler: ShortlistSampler
    kept: _Kept
    sample: WeightedSample
    of: int

    def note(self, creative_id: str) -> Shortlisted:
        """Returns what a decision that chose this creative keeps of the draw."""
        index = self.sampler.index_of(creative_id)
        return Shortlisted(
            size=len(self.actions),
            of=self.of,
            floor=self.sampler.rule.floor,
            weights=self.kept.version,
            among=self.sampler.digest,
            catalogue=self.sampler.catalogue_offset,
            inclusion=self.kept.sampler.inclusion(index, self.sample.until),
        )


class ShortlistSampler:
    """Draws from the live creatives of one placement, as the catalogue has them.

    Args:
        rule: the placement's, of fewer than there are creatives.
        actions: all that are live.
        catalogue_offset: as far as the catalogue had been read when they were.
        clock: seconds, for how long a policy took over all of them.
    """

    def __init__(
        self,
        rule: Shortlist,
        actions: tuple[Action, ...],
        catalogue_offset: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rule = rule
        self.catalogue_offset = catalogue_offset
        self.digest = digest(actions)
        self._actions = actions
        self._clock = clock
        self._index = {action.id: index for index, action in enumerate(actions)}
        self._kept: _Kept | None = None

    def index_of(self, creative_id: str) -> int:
        """Returns where among all that are live the creative is."""
        return self._index[creative_id]

    def size(self, slots: Sequence[SlotRequest]) -> int:
        """Returns how long a shortlist is: so long that no slot can be left without an action."""
        return max(self.rule.size, len(slots) + max(len(slot.excluded) for slot in slots))

    def shortlist(
        self, version: str, pmf_of: PmfOf, actions: tuple[Action, ...], event_id: str, size: int
    ) -> DrawnShortlist | None:
        """Returns a shortlist of these actions, None if they are no more than `size`.

        Args:
            version: of the policy that `pmf_of` asks.
            pmf_of: its pmf; it is asked now and then about all that are live, without a context.
            actions: those of the live creatives that may be shown now, in their order.
            event_id: the decision's.
            size: how many.

        Raises:
            RequestError: what `pmf_of` raises.
        """
        if len(actions) <= size:
            return None
        kept, barred, allowed = self._weighed(version, pmf_of), None, actions
        if len(actions) < len(self._actions):
            barred, allowed = self._barred(actions)
        sample = kept.sampler.draw(seed_of(event_id, kept.version), size, barred)
        chosen = tuple(allowed[index] for index in sample.indices.tolist())
        return DrawnShortlist(chosen, self, kept, sample, len(actions))

    def _weighed(self, version: str, pmf_of: PmfOf) -> _Kept:
        """Returns weights, anew for another version unless that would take too much of the time."""
        kept, now = self._kept, self._clock()
        if kept is None or (kept.version != version and now >= kept.until):
            sampler = WeightedSampler(pmf_of(EMPTY, self._actions), self.rule.floor)
            done = self._clock()
            kept = self._kept = _Kept(version, sampler, done + (done - now) * KEPT_FOR)
        return kept

    def _barred(self, actions: tuple[Action, ...]) -> tuple[NDArray[np.bool_], tuple[Action, ...]]:
        """Returns which are not among the actions, and those that are at the place of theirs."""
        barred = np.ones(len(self._actions), dtype=np.bool_)
        allowed = list(self._actions)
        for action in actions:
            index = self._index[action.id]
            barred[index], allowed[index] = False, action
        return barred, tuple(allowed)
