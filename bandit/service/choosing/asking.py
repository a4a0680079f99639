"""How much a question to a policy may cost, and where it is asked: here and now, or in a thread.

What a question costs hangs on how many features it brings. Too many are refused. A question that
is sure to be quick is asked in the event loop, for that is cheapest, and any other in a thread of
its own, so that no policy holds up the requests of others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar

from msgspec import Raw

from bandit.errors import FeatureError, RequestError
from bandit.features.measure import has_more_values
from bandit.policy import Policy, steps_of
from bandit.service.choosing.candidates import CandidateSet
from streams.events import EMPTY, Action

MAX_CONTEXT_FEATURES: Final = 4096
"""The most values that a context holds, or the features of a slot."""
MAX_ACTION_FEATURES: Final = 4096
"""The most values that the features of one action hold."""
MAX_STEPS: Final = 2**23
"""The most steps of an answer that nothing interrupts: some 10 to 40 milliseconds."""
QUICK_SECONDS: Final = 0.005
"""A policy that took longer is asked in the thread next time."""
QUICK_FEATURES: Final = 1000
QUICK_PAIRS: Final = 1_000_000
"""With more, by an upper bound of the pairs that any policy makes, no question counts as quick."""

_T = TypeVar("_T")


class QuestionSize(NamedTuple):
    """How large a question is, at most.

    Attributes:
        context: the values of the largest context.
        brought: the values of all actions that the request brings.
        scores: how many actions there are to score, over all slots.
    """

    context: int
    brought: int
    scores: int

    def is_moderate(self) -> bool:
        """Returns whether no policy takes long over that, once it knows the placement's own."""
        return (
            self.context <= QUICK_FEATURES
            and self.brought <= QUICK_FEATURES
            and self.scores * self.context * self.context <= QUICK_PAIRS
        )

    def is_within(self, other: QuestionSize) -> bool:
        """Returns whether it is no larger than the other, in anything."""
        return (
            self.context <= other.context
            and self.brought <= other.brought
            and self.scores <= other.scores
        )


def check_context(context: Raw) -> None:
    """Refuses a context with too many values.

    Raises:
        RequestError: `too_many_features`.
    """
    # A value takes a byte; what is short is not copied.
    if len(memoryview(context)) > MAX_CONTEXT_FEATURES and has_more_values(
        bytes(context), MAX_CONTEXT_FEATURES
    ):
        raise _too_many("context", MAX_CONTEXT_FEATURES)


def question_size(
    contexts: Sequence[Raw], brought: Sequence[Action] | None, candidates: CandidateSet, scores: int
) -> QuestionSize:
    """Returns how large a question is.

    Args:
        contexts: of each slot, as the policy sees them.
        brought: the actions that the request brings; None if it brings none.
        candidates: what is chosen from.
        scores: how many actions there are to score, over all slots.

    Raises:
        RequestError: `too_many_features`.
    """
    if len(contexts) > 1:  # a slot's features are in its context
        for context in contexts:
            check_context(context)
    # No features without commas between them, and counting those is quick.
    of_context = max(bytes(context).count(b",") for context in contexts) + 1
    of_brought = 0 if brought is None else candidates.json.count(b",")
    if brought is not None and of_brought > MAX_ACTION_FEATURES:
        for position, action in enumerate(brought):
            if has_more_values(bytes(action.features), MAX_ACTION_FEATURES):
                raise _too_many(f"actions[{position}].features", MAX_ACTION_FEATURES)
    return QuestionSize(of_context, of_brought, scores)


def check_steps(
    policy: Policy, context: Raw, brought: Sequence[Action] | None, actions: Sequence[Action]
) -> None:
    """Refuses a question that a policy would answer for too long, with nothing beside it.

    Of a placement's own creatives the request does not have to answer for what they alone cost.

    Raises:
        RequestError: `question_too_costly`.
    """
    try:
        steps = steps_of(policy, context, actions)
        if steps > MAX_STEPS and brought is None:
            steps -= steps_of(policy, EMPTY, actions)
    except FeatureError:  # the policy says so itself
        return
    if steps > MAX_STEPS:
        raise RequestError(
            422,
            "question_too_costly",
            f"these features would take the policy some {steps} steps; at most {MAX_STEPS}: send "
            "fewer features or actions, or have its interactions name fewer namespaces",
        )


def _too_many(target: str, most: int) -> RequestError:
    message = f"{target} holds more than {most} values; send fewer features"
    return RequestError(422, "too_many_features", message, target=target)


class PolicyThread:
    """Asks policies, for so many seconds and no longer; used from one event loop.

    A policy cannot be interrupted, so it is asked in a thread of its own, one question at a time;
    the event loop waits for the answer as long as the budget lasts and goes on without it.

    Args:
        seconds: the budget; None: as long as it takes.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="policy")

    async def answer(
        self,
        offer: CandidateSet,
        policy: Policy,
        size: QuestionSize,
        check: Callable[[], None],
        ask: Callable[[], _T],
    ) -> _T | None:
        """Returns what `ask` does, or None if the budget is spent before.

        Args:
            offer: of the placement that is asked about.
            policy: who is asked.
            size: of the question.
            check: refuses a question that would take too long.
            ask: asks the policy.

        Raises:
            Exception: what `ask` raises in time; later it is nobody's concern any more.
        """
        running = self._begin(offer, policy, size, check, ask)
        asked = asyncio.wrap_future(running)
        await asyncio.wait((asked,), timeout=self._seconds)
        if asked.done():
            return asked.result()
        # A question that was not begun is dropped; one that was runs on and is not heard.
        running.cancel()
        asked.add_done_callback(_unheard)
        return None

    async def wait(
        self,
        offer: CandidateSet,
        policy: Policy,
        size: QuestionSize,
        check: Callable[[], None],
        ask: Callable[[], _T],
    ) -> _T:
        """Returns what `ask` does, as long as that takes; see `answer`."""
        return await asyncio.wrap_future(self._begin(offer, policy, size, check, ask))

    def _begin(
        self,
        offer: CandidateSet,
        policy: Policy,
        size: QuestionSize,
        check: Callable[[], None],
        ask: Callable[[], _T],
    ) -> Future[_T]:
        def timed() -> _T:
            try:
                check()
                began = time.perf_counter()
                found = ask()
                if time.perf_counter() - began <= QUICK_SECONDS:
                    _note_quick(offer, policy, size)
                return found
            finally:
                offer.answered += 1

        def dropped(running: Future[_T]) -> None:
            if running.cancelled():  # by the event loop, which counts what is asked
                offer.asked -= 1

        offer.asked += 1
        running = self._executor.submit(timed)
        running.add_done_callback(dropped)
        return running


def ask_here(offer: CandidateSet, ask: Callable[[], _T]) -> _T:
    """Returns what `ask` does; if that was not quick, it is not asked here again."""
    began = time.perf_counter()
    found = ask()
    if time.perf_counter() - began > QUICK_SECONDS:
        offer.quick = None
    return found


def is_known_quick(offer: CandidateSet, policy: Policy, size: QuestionSize) -> bool:
    """Returns whether a question no smaller was answered quickly, and none is under way.

    While the thread asks the policy, another question would have to wait for it.
    """
    known = offer.quick
    return (
        known is not None
        and known[0] is policy
        and offer.asked == offer.answered
        and size.is_within(known[1])
        and size.is_moderate()
    )


def _note_quick(offer: CandidateSet, policy: Policy, size: QuestionSize) -> None:
    if (known := offer.quick) is not None and known[0] is policy:
        size = QuestionSize(*map(max, size, known[1]))
    offer.quick = policy, size


def _unheard(asked: asyncio.Future[_T]) -> None:
    if not asked.cancelled():
        asked.exception()
