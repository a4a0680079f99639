"""Makes decisions: the one way from a request to decisions in the log, whichever protocol asks.

A request without slots is one with one slot. Where the policy is too late, the policy "first
action" decides in its place. Protocols translate their requests to `DecisionRequest`, and
`Decided` to their answers.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from msgspec import Raw, Struct
from msgspec.structs import replace

from bandit.eligibility import under_traffic_cap
from bandit.errors import FeatureError, PolicyError, RequestError
from bandit.policy import Pmf
from bandit.service.auth.privacy import PrivacyFilter
from bandit.service.choosing.asking import (
    PolicyThread,
    ask_here,
    check_context,
    check_steps,
    is_known_quick,
    question_size,
)
from bandit.service.choosing.candidates import (
    ActionDistribution,
    CandidateSet,
    Decided,
    RequestMetadata,
    Selection,
    message_of,
)
from bandit.service.choosing.slots import (
    ONE_SLOT,
    ShortlistSampler,
    SlotRequest,
    check_enough,
    fill,
    slot_contexts,
)
from bandit.service.errors import placement_not_found
from bandit.service.log_writer import Appender
from bandit.service.ops.metrics import Metrics
from bandit.service.settings import Settings
from bandit.service.state import ServingPlacement, Snapshots
from streams.errors import SpoolFull
from streams.events import Action, Placement
from streams.logs.base import Message

CHANCE_BYTES: Final = 10
BODY_SHARE: Final = 4
"""What several decisions may have together, as a share of the largest body."""
ENTRY_BYTES: Final = 22
"""What an entry of a pmf has in the log, at most, but for a few."""


TIME_DIGITS: Final = 12
_OURS: Final = re.compile(r"[0-9a-f]{32}(?:~.*)?")
"""An id that the API made, signed or not."""


class Ids:
    """Makes ids; the system is asked for the chance of many at once."""

    def __init__(self) -> None:
        self._chance = b""
        self._used = 0

    def new(self, now_ms: int) -> str:
        """Returns what `new_id` does."""
        if self._used == len(self._chance):
            self._chance = os.urandom(CHANCE_BYTES * 256)
            self._used = 0
        start, self._used = self._used, self._used + CHANCE_BYTES
        return f"{now_ms:012x}{self._chance[start : self._used].hex()}"


def new_id(now_ms: int) -> str:
    """Returns 32 hexadecimal digits: the time first, so that ids sort by it, then chance."""
    return f"{now_ms:012x}{os.urandom(CHANCE_BYTES).hex()}"


def made_ms(event_id: str) -> int | None:
    """Returns the time that an id begins with, None if the API did not make the id.

    >>> made_ms(new_id(1_700_000_000_000))
    1700000000000
    """
    return int(event_id[:TIME_DIGITS], 16) if _OURS.fullmatch(event_id) else None


logger = logging.getLogger(__name__)


class DecisionRequest(Struct, frozen=True):
    """What is to be decided.

    Attributes:
        context: as the caller sent it.
        actions: the caller's; None: the placement's live creatives.
        slots: what to fill; None: one action is wanted.
        event_id: the caller's; one is made if it is None.
        deferred: the decision counts once it is activated.
        traceparent: the trace that the request is part of.
    """

    context: Raw
    actions: tuple[Action, ...] | None = None
    slots: Sequence[SlotRequest] | None = None
    event_id: str | None = None
    deferred: bool = False
    traceparent: str | None = None


class Decider:
    """Makes the decisions of one application; used from one event loop."""

    def __init__(
        self,
        appender: Appender,
        metrics: Metrics,
        settings: Settings,
        clock_ms: Callable[[], int],
        privacy: PrivacyFilter,
    ) -> None:
        self._appender = appender
        self._metrics = metrics
        self._clock_ms = clock_ms
        self._privacy = privacy
        self._unlogged = settings.spool_full == "unlogged"
        self._ids = Ids()
        budget_ms = settings.rank_budget_ms
        self._thread = PolicyThread(budget_ms / 1e3 if budget_ms else None)
        self._most_bytes = settings.max_body_bytes // BODY_SHARE

    async def decide(self, serving: ServingPlacement, request: DecisionRequest) -> Decided:
        """Returns what `choose` does, once `log` has written it."""
        decided = await self.choose(serving, request)
        if await self.log((decided,)):
            return decided
        return replace(decided, logged=False)

    async def choose(self, serving: ServingPlacement, request: DecisionRequest) -> Decided:
        """Returns what is chosen, one selection a slot; nothing is logged.

        Raises:
            RequestError: `no_live_creatives`, `all_creatives_capped`, `slot_without_actions` or
                `features_invalid`: nothing can be chosen; `too_many_features`,
                `question_too_costly` or `decisions_too_large`: that would cost too much;
                `event_id_unsigned`; `policy_error`.
        """
        now_ms = self._clock_ms()
        placement, context = serving.placement, request.context
        check_context(context)
        event_id = request.event_id or self._ids.new(now_ms)
        if placement.protection:
            event_id = self._privacy.event_id(placement, request.event_id, event_id)
            context = self._privacy.hidden(placement, context)
        candidates = _candidates(serving, request.actions, context, now_ms)
        sampler = serving.draws if request.actions is None else None
        slots, contexts = request.slots or ONE_SLOT, [context]
        n_actions = len(candidates.actions)
        if sampler is not None:
            n_actions = min(n_actions, sampler.size(slots))
        if request.slots is not None:
            check_enough(slots, candidates.actions)
            self.check_slate(slots, n_actions)
            contexts = slot_contexts(context, slots)
        found: list[Selection] | None
        if slots is ONE_SLOT and sampler is None and candidates.known(serving.policy):
            found = _selections(serving, None, candidates, slots, contexts, event_id)
        else:
            asked = partial(_selections, serving, sampler, candidates, slots, contexts, event_id)
            size = question_size(contexts, request.actions, candidates, len(slots) * n_actions)
            if is_known_quick(serving.offer, serving.policy, size):
                found = ask_here(serving.offer, asked)
            else:
                scored = candidates.actions[:n_actions]
                check = partial(check_steps, serving.policy, contexts[0], request.actions, scored)
                found = await self._thread.answer(serving.offer, serving.policy, size, check, asked)
        late = found is None
        if found is None:
            if sampler is not None:
                candidates = candidates.beside(candidates.actions[:n_actions])
            first = partial(_first_action, serving.version)
            found = fill(slots, contexts, candidates, event_id, first)
        metadata = RequestMetadata(event_id, now_ms, request.deferred, request.traceparent, late)
        return Decided(metadata, found, context=context)

    def again_id(self, placement: Placement, earlier: str) -> str | None:
        """Returns the event id of a showing after a decision is over, None while it is not.

        The time since the earlier decision is divided into windows. Each window has one such id,
        derived from the earlier one, so a second showing in a window is a duplicate.

        Raises:
            RequestError: `reward_unsigned`: the earlier id is not signed, where it has to be.
        """
        now_ms, start_ms = self._clock_ms(), made_ms(earlier)
        window_ms = int(placement.reward.window_seconds * 1e3)
        if start_ms is None or now_ms < start_ms + window_ms:
            return None
        self._privacy.check_signed(placement, earlier)
        begins_ms = now_ms - (now_ms - start_ms) % window_ms
        chance = earlier[TIME_DIGITS : TIME_DIGITS + 2 * CHANCE_BYTES]
        return self._privacy.event_id(placement, None, f"{begins_ms:0{TIME_DIGITS}x}{chance}")

    def certain(
        self, serving: ServingPlacement, action: Action, event_id: str, request: DecisionRequest
    ) -> Decided:
        """Returns the decision of a creative that is shown whatever the policy would choose.

        It is a fallback: it is counted and joined with its outcomes, and nothing learns from it.
        """
        context = self._privacy.hidden(serving.placement, request.context)
        first = partial(_first_action, serving.version)
        found = fill(ONE_SLOT, [context], serving.offer.beside((action,)), event_id, first)
        now_ms, deferred, traceparent = self._clock_ms(), request.deferred, request.traceparent
        metadata = RequestMetadata(event_id, now_ms, deferred, traceparent, True)
        return Decided(metadata, found, context=context)

    async def pmf(
        self, serving: ServingPlacement, context: Raw, actions: tuple[Action, ...]
    ) -> Pmf:
        """Returns what `action_pmf` does, for creatives of the placement's own; nothing is chosen.

        There is no time budget, for nothing would be an answer in the policy's place.

        Raises:
            RequestError: as `choose`.
        """
        policy, candidates = serving.policy, serving.offer.of(actions)
        size = question_size([context], None, candidates, len(actions))
        check = partial(check_steps, policy, context, None, actions)
        ask = partial(action_pmf, serving, context, actions)
        if is_known_quick(serving.offer, policy, size):
            return ask_here(serving.offer, ask)
        return await self._thread.wait(serving.offer, policy, size, check, ask)

    def check_logged(self, times: int, context: Raw) -> None:
        """Refuses a request whose several decisions would repeat too much in the log.

        Args:
            times: how many decisions it asks for.
            context: what each has.

        Raises:
            RequestError: `decisions_too_large`.
        """
        total = times * len(memoryview(context))
        if times > 1 and total > self._most_bytes:
            raise RequestError(
                422,
                "decisions_too_large",
                f"{times} decisions, each with the context, would have some {total} bytes; at most "
                f"{self._most_bytes}: send fewer, or a smaller context",
            )

    def check_slate(self, slots: Sequence[SlotRequest], n_actions: int) -> None:
        """Refuses slots whose pmfs would be too long: each has an entry for each action left.

        Raises:
            RequestError: `decisions_too_large`.
        """
        times = len(slots)
        entries = times * n_actions - times * (times - 1) // 2
        if entries * ENTRY_BYTES > self._most_bytes:
            raise RequestError(
                422,
                "decisions_too_large",
                f"{times} slots with up to {n_actions} actions each have {entries} probabilities "
                f"together; at most {self._most_bytes // ENTRY_BYTES}: send fewer of either",
            )

    async def log(self, decided: Sequence[Decided], beside: Sequence[Message] = ()) -> bool:
        """Writes decisions to the log, and counts them: all or none.

        Args:
            decided: what `choose` returned.
            beside: messages that are written after them.

        Returns:
            False if they are recorded nowhere, because the spool is full and the settings let
            decisions go on; True once they are as durable as the settings want it.

        Raises:
            RequestError: the log takes nothing now.
        """
        messages = [message_of(each) for each in decided]
        logged = True
        try:
            await self._appender.write([*messages, *beside] if beside else messages)
        except RequestError as error:
            if not (self._unlogged and error.code == SpoolFull.code):
                raise
            logged = False
        for each in decided:
            metadata, selections = each.metadata, each.selections
            name = selections[0].distribution.candidates.name
            if metadata.fallback:
                self._metrics.fallbacks(name, len(selections))
            if not logged:
                self._metrics.unlogged(name, len(selections))
            for _, distribution, chosen, *_ in selections:
                explored = distribution.pmf[chosen] < distribution.highest
                action = distribution.candidates.actions[chosen]
                self._metrics.decision(name, action.id, explored=explored)
        return logged


def serving_of(snapshots: Snapshots, name: str) -> ServingPlacement:
    """Returns what a placement is served with.

    Raises:
        RequestError: `placement_not_found`.
    """
    serving = snapshots.placement(name)
    if serving is None:
        raise placement_not_found(name)
    return serving


def action_pmf(serving: ServingPlacement, context: Raw, actions: tuple[Action, ...]) -> Pmf:
    """Returns the pmf that is drawn from: `policy_pmf` under the traffic cap, if there is one."""
    return under_traffic_cap(policy_pmf(serving, context, actions), actions, serving.offer.lid)


def policy_pmf(serving: ServingPlacement, context: Raw, actions: tuple[Action, ...]) -> Pmf:
    """Returns the pmf that the placement's policy gives these actions.

    By one at a time, whichever the thread: some policies cannot be asked by two.

    Raises:
        RequestError: `features_invalid`: the policy cannot read the context or an action;
            `policy_error`: it has no answer, whatever the request, until another is published.
    """
    try:
        with serving.offer.asking:
            return serving.policy.pmf(context, actions)
    except FeatureError as error:
        raise RequestError(422, error.code, str(error)) from error
    except PolicyError as error:
        logger.error("policy %s of %r: %s", serving.version, serving.placement.name, error)
        raise RequestError(500, error.code, str(error)) from error


def _candidates(
    serving: ServingPlacement, brought: tuple[Action, ...] | None, context: Raw, now_ms: int
) -> CandidateSet:
    """Returns what may be chosen from: at least one action."""
    candidates = serving.offer if brought is None else serving.offer.of(brought)
    if not candidates.actions:
        raise RequestError(
            409,
            "no_live_creatives",
            f"placement {serving.placement.name!r} has no live creative; add one, set one live, "
            "or send `actions`",
        )
    if serving.constraints is None:
        return candidates
    return candidates.of(serving.constraints.allowed(context, candidates.actions, now_ms))


def _selections(
    serving: ServingPlacement,
    sampler: ShortlistSampler | None,
    candidates: CandidateSet,
    slots: Sequence[SlotRequest],
    contexts: Sequence[Raw],
    event_id: str,
) -> list[Selection]:
    """Returns what the policy chooses, of a shortlist where the sampler makes one."""
    if sampler is None and slots is ONE_SLOT:
        distribution = _distribution(serving, candidates, contexts[0], candidates)
        return [Selection(contexts[0], distribution, distribution.draw(event_id))]
    distribution_of, shortlist = partial(_distribution, serving, candidates), None
    if sampler is not None:
        pmf_of, size = partial(policy_pmf, serving), sampler.size(slots)
        shortlist = sampler.shortlist(serving.version, pmf_of, candidates.actions, event_id, size)
    if shortlist is None:
        return fill(slots, contexts, candidates, event_id, distribution_of)
    candidates = candidates.beside(shortlist.actions)
    found = fill(slots, contexts, candidates, event_id, distribution_of)
    return [one._replace(shortlist=shortlist.note(one.action.id)) for one in found]


def _distribution(
    serving: ServingPlacement, lasting: CandidateSet, context: Raw, candidates: CandidateSet
) -> ActionDistribution:
    """Returns what the policy gives the candidates; only that of the `lasting` ones is kept."""
    policy = serving.policy
    found = candidates.known(policy)
    if found is None:
        pmf = action_pmf(serving, context, candidates.actions)
        found = ActionDistribution(candidates, pmf.tolist(), serving.version)
        if candidates is lasting:
            candidates.keep(policy, found)
    return found


def _first_action(version: str, context: Raw, candidates: CandidateSet) -> ActionDistribution:
    """Returns the distribution of the policy that always takes the first action."""
    pmf = [1.0] + [0.0] * (len(candidates.actions) - 1)
    return ActionDistribution(candidates, pmf, version)
