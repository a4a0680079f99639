"""A time budget for choosing: who is not answered by the policy in time gets the first action.

A policy cannot be interrupted, so it is asked in a thread of its own, one question at a time; the
event loop waits for the answer as long as the budget lasts and goes on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from msgspec import Raw

from bandit.service.offer import Drawn, Odds, Offer
from bandit.service.requests import RankSlot
from bandit.service.slots import slot_contexts

_T = TypeVar("_T")


class Budget:
    """Asks in a thread, for so many seconds and no longer; used from one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="policy")

    async def within(self, ask: Callable[[], _T]) -> _T | None:
        """Returns what `ask` does, or None if the budget is spent before.

        Raises:
            Exception: what `ask` raises in time; later it is nobody's concern any more.
        """
        asked = asyncio.get_running_loop().run_in_executor(self._executor, ask)
        await asyncio.wait((asked,), timeout=self._seconds)
        if asked.done():
            return asked.result()
        # A question that was not begun is dropped; one that was runs on and is not heard.
        asked.add_done_callback(_unheard)
        asked.cancel()
        return None

    def close(self) -> None:
        """Asks nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def first_actions(
    offer: Offer, context: Raw, slots: list[RankSlot] | None, version: str
) -> list[Drawn]:
    """Returns what is answered in place of the policy: the first action, for each slot of the rest.

    Raises:
        RequestError: `features_invalid`, from `slot_contexts`.
    """
    if slots is None:
        return [_certain(offer, context, version)]
    drawn: list[Drawn] = []
    taken: set[str] = set()
    for slot, seen in zip(slots, slot_contexts(context, slots), strict=True):
        barred = taken.union(slot.excluded)
        left = offer.of(tuple(action for action in offer.actions if action.id not in barred))
        taken.add(left.actions[0].id)
        drawn.append(_certain(left, seen, version))
    return drawn


def _certain(offer: Offer, context: Raw, version: str) -> Drawn:
    pmf = [1.0] + [0.0] * (len(offer.actions) - 1)
    return Drawn(context, Odds(offer, pmf, version), 0)


def _unheard(asked: asyncio.Future[_T]) -> None:
    if not asked.cancelled():
        asked.exception()
