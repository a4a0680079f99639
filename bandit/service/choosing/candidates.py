"""What is the same from one decision to the next, kept as the bytes that are written and answered.

The actions stay alike until a creative changes, and the pmf of a policy that reads no context until
its next snapshot. Splicing gives the very bytes that encoding the event would, for less.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from threading import Lock
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from bandit.eligibility import traffic_cap_over
from bandit.policy import Policy, draw, is_context_free
from streams.events import (
    DECISIONS,
    EMPTY,
    FALLBACK_VERSION,
    FIRST_VERSION,
    SHORTLIST_VERSION,
    SLATE_VERSION,
    Action,
    Creative,
    SlateSlot,
    check_pmf,
)
from streams.events.placement import Shortlisted, TrafficCap
from streams.events.slates import runs_of
from streams.logs.base import Message, Shared
from streams.logs.cloudevents import trace_headers

_encode = msgspec.json.Encoder().encode

HEAD: Final = b'{"type":"decision","event_id":%b,"placement":%b,"timestamp_ms":%d,"context":'
SLATE_HEAD: Final = (
    b'{"type":"slate","event_id":%b,"placement":%b,"timestamp_ms":%d,"context":%b,"actions":%b,'
)
SLATE_END: Final = b'"slots":[%b],"policy_version":%b,"deferred":%b,%b"traceparent":%b,"v":%d}'
END: Final = b',"slot":%d,"deferred":%b,%b"traceparent":%b,"v":%d}'
PLAIN_END: Final = END % (0, b"false", b"", b"null", FIRST_VERSION)


class CandidateSet:
    """Actions to choose from.

    Args:
        placement: whose they are.
        actions: as the policy sees them and the log keeps them.
        creatives: the placement's by id, whose text is answered.
        lid: on those that get a small share of the traffic together.

    Attributes:
        asking: held while the placement's policy is asked.
        asked: how many questions about it went to the thread of policies; `answered`, how many
            of those are over.
        quick: a policy that answered quickly, and the largest question that it did so for.
    """

    __slots__ = (
        "_context_free",
        "_creatives",
        "_distribution",
        "_part",
        "_policy",
        "actions",
        "actions_json",
        "answered",
        "asked",
        "asking",
        "json",
        "lid",
        "mark",
        "name",
        "placement",
        "quick",
    )

    def __init__(
        self,
        placement: str,
        actions: tuple[Action, ...],
        creatives: Mapping[str, Creative],
        lid: TrafficCap | None = None,
    ) -> None:
        self.name = placement
        self.asking = Lock()
        self.asked = self.answered = 0
        self.quick: tuple[Policy, Any] | None = None
        self.placement = _encode(placement)
        self.actions = actions
        self.actions_json = _encode(actions)
        self.json = b',"actions":%b,"pmf":' % self.actions_json
        self.lid = traffic_cap_over(actions, lid)
        self.mark = b"" if self.lid is None else b'"lid":%b,' % _encode(self.lid)
        self._creatives = creatives
        self._part: CandidateSet | None = None
        self._policy: Policy | None = None
        self._context_free = False
        self._distribution: ActionDistribution | None = None

    def of(self, actions: tuple[Action, ...]) -> CandidateSet:
        """Returns the same for only some of the actions, or for others."""
        if actions is self.actions:
            return self
        # What caps leave is the same tuple for a while.
        if self._part is None or self._part.actions is not actions:
            self._part = self.beside(actions)
        return self._part

    def beside(self, actions: tuple[Action, ...]) -> CandidateSet:
        """Returns the same for some of the actions, which are not asked for again."""
        return CandidateSet(self.name, actions, self._creatives, self.lid)

    def without(self, barred: Collection[str], first: str | None = None) -> CandidateSet:
        """Returns the same less the barred actions, with the action `first` in front if it is left.

        Policies know the live creatives again by the tuple that holds them, so it is this very
        set where that changes nothing.
        """
        if not barred and first is None:
            return self
        left = [action for action in self.actions if action.id not in barred]
        if first is not None:
            left.sort(key=lambda action: action.id != first)
        elif len(left) == len(self.actions):
            return self
        return self.beside(tuple(left))

    def known(self, policy: Policy) -> ActionDistribution | None:
        """Returns the distribution that was kept of this very policy, None if there is none."""
        return self._distribution if self._policy is policy else None

    def keep(self, policy: Policy, distribution: ActionDistribution) -> None:
        """Keeps the distribution, if the policy gives the same whatever the context."""
        if self._policy is not policy:
            self._distribution, self._policy = None, policy
            self._context_free = is_context_free(policy)
        if self._context_free:
            self._distribution = distribution

    def shown(self, index: int) -> bytes:
        """Returns how an answer shows the action: its id, and what a creative of ours shows."""
        action = self.actions[index]
        creative = self._creatives.get(action.id)
        if creative is None:
            return b'{"id":%b}' % _encode(action.id)
        shown = b'"id":%b,"parts":%b' % (_encode(action.id), _encode(creative.parts))
        if creative.ad is UNSET:
            return b"{%b}" % shown
        # Where it is booked is nobody's business who is shown it.
        ad = msgspec.structs.replace(creative.ad, booked={})
        return b'{%b,"ad":%b}' % (shown, _encode(ad))


class ActionDistribution:
    """The pmf that one policy gives one candidate set, with the bytes that follow from it.

    Raises:
        ValueError: these are no probabilities of these actions.
    """

    __slots__ = ("_answers", "_cumulative", "_logged", "candidates", "highest", "pmf", "version")

    def __init__(self, candidates: CandidateSet, pmf: Sequence[float], version: str) -> None:
        check_pmf(pmf, len(candidates.actions))
        self.candidates = candidates
        self.pmf = tuple(pmf)
        self.highest = max(self.pmf)
        self.version = _encode(version)
        self._cumulative = list(accumulate(self.pmf))
        self._logged: dict[int, bytes] = {}
        self._answers: dict[int, bytes] = {}

    def draw(self, seed: str) -> int:
        """Returns what `bandit.policy.sample` draws with this seed."""
        index = draw(self._cumulative, seed)
        if self.pmf[index] <= 0.0:
            raise ValueError(f"propensity of the chosen action is {self.pmf[index]}; above 0")
        return index

    def logged(self, index: int) -> bytes:
        """Returns a decision's JSON from the value of `pmf` to that of `policy_version`."""
        found = self._logged.get(index)
        if found is None:
            parts = _encode(self.pmf), index, self.version
            found = self._logged[index] = b'%b,"index":%d,"policy_version":%b' % parts
        return found

    def answer(self, index: int) -> bytes:
        """Returns a slot's answer from `action` to `pmf`, without the braces."""
        found = self._answers.get(index)
        if found is None:
            entries = zip(self.candidates.actions, self.pmf, strict=True)
            pmf = _encode([{"id": action.id, "propensity": share} for action, share in entries])
            shown, propensity = self.candidates.shown(index), _encode(self.pmf[index])
            parts = shown, index, propensity, pmf
            found = b'"action":%b,"index":%d,"propensity":%b,"pmf":%b' % parts
            self._answers[index] = found
        return found


class SlotRequest(NamedTuple):
    """A slot to fill.

    Attributes:
        id: the caller's name for it.
        number: what it has in the log; its draw depends on it.
        features: what the policy sees as the context's field `slot`, as JSON.
        excluded: ids of actions that it does not show.
        first: the action that comes first where it is left.
    """

    id: str
    number: int
    features: Raw
    excluded: Sequence[str] = ()
    first: str | None = None


class Selection(NamedTuple):
    """What one slot shows: `chosen` is the index drawn from the distribution, seen in `context`.

    `shortlist` is as in `Decision`. `among` is what all slots choose from, and `request` what was
    asked for this one, where there are several.
    """

    context: Raw
    distribution: ActionDistribution
    chosen: int
    slot: int = 0
    shortlist: Shortlisted | UnsetType = UNSET
    among: CandidateSet | None = None
    request: SlotRequest | None = None

    @property
    def action(self) -> Action:
        """The action that was chosen."""
        return self.distribution.candidates.actions[self.chosen]

    @property
    def propensity(self) -> float:
        """The propensity of the action that was chosen."""
        return self.distribution.pmf[self.chosen]


class RequestMetadata(Struct, frozen=True):
    """What the decisions of one request have in common; `fallback` as in `Decision`."""

    event_id: str
    timestamp_ms: int
    deferred: bool
    traceparent: str | None
    fallback: bool = False


class Decided(Struct, frozen=True):
    """The decisions of one request, one a slot; `logged` is false if they are recorded nowhere.

    `context` is what all slots have in common.
    """

    metadata: RequestMetadata
    selections: Sequence[Selection]
    logged: bool = True
    context: Raw = EMPTY


def message_of(decided: Decided) -> Message:
    """Returns the record of a request's decisions: a decision, or the slate of several slots."""
    if len(decided.selections) == 1:
        return decision_message(decided.selections[0], decided.metadata)
    return slate_message(decided)


def slate_message(decided: Decided) -> Message:
    """Returns the decisions of several slots for the log: the bytes of a `Slate`, spliced."""
    metadata, first = decided.metadata, decided.selections[0]
    among = first.among
    if among is None:
        raise ValueError("these selections are of no slate")
    number_of = {action.id: number for number, action in enumerate(among.actions)}
    slots = b",".join(_encode(_slate_slot(each, number_of)) for each in decided.selections)
    mark = b'"fallback":true,' if metadata.fallback else b""
    if first.shortlist:
        mark += b'"shortlist":%b,' % _encode(first.shortlist)
    if not metadata.fallback:
        mark += among.mark
    head = SLATE_HEAD % (
        _encode(metadata.event_id),
        among.placement,
        metadata.timestamp_ms,
        decided.context,
        among.actions_json,
    )
    traceparent, version = metadata.traceparent, first.distribution.version
    rest = slots, version, _encode(metadata.deferred), mark, _encode(traceparent), SLATE_VERSION
    value = head + SLATE_END % rest
    start = len(head) - len(among.actions_json) - 1
    shared = None if first.shortlist else Shared(among.actions_json, start)
    event_id = metadata.event_id.encode()
    return Message(DECISIONS, event_id, value, trace_headers(traceparent), None, None, shared)


def _slate_slot(selection: Selection, number_of: Mapping[str, int]) -> SlateSlot:
    asked = selection.request
    if asked is None:
        raise ValueError("this selection is of no slate")
    inclusion = selection.shortlist.inclusion if selection.shortlist else UNSET
    return SlateSlot(
        slot=selection.slot,
        pmf=runs_of(selection.distribution.pmf),
        index=selection.chosen,
        features=UNSET if asked.features is EMPTY else asked.features,
        excluded=tuple(number_of[each] for each in asked.excluded if each in number_of),
        first=None if asked.first is None else number_of.get(asked.first),
        inclusion=inclusion,
    )


def decision_message(selection: Selection, metadata: RequestMetadata) -> Message:
    """Returns the decision for the log: the bytes of `streams.events.encode`, spliced."""
    context, distribution, chosen, slot, shortlist = selection[:5]
    candidates = distribution.candidates
    event_id, traceparent, fallback = metadata.event_id, metadata.traceparent, metadata.fallback
    head = HEAD % (_encode(event_id), candidates.placement, metadata.timestamp_ms)
    if slot or metadata.deferred or traceparent or fallback or shortlist or candidates.mark:
        mark, version = b"", FIRST_VERSION
        if fallback:
            mark, version = b'"fallback":true,', FALLBACK_VERSION
        if shortlist:
            mark, version = mark + b'"shortlist":%b,' % _encode(shortlist), SHORTLIST_VERSION
        if not fallback:
            mark += candidates.mark
        rest = slot, _encode(metadata.deferred), mark, _encode(traceparent), version
        end, headers = END % rest, trace_headers(traceparent)
    else:
        end, headers = PLAIN_END, ()
    value = b"".join((head, context, candidates.json, distribution.logged(chosen), end))
    # The next shortlist is another one: to keep its actions apart would keep them for nobody.
    shared = None if shortlist else Shared(candidates.json, len(head) + len(memoryview(context)))
    return Message(DECISIONS, event_id.encode(), value, headers, None, None, shared)


def rank_answer(decided: Decided) -> bytes:
    """Returns the JSON of a `RankAnswer`."""
    selection = decided.selections[0]
    distribution = selection.distribution
    parts = (
        b'{"event_id":',
        _encode(decided.metadata.event_id),
        b',"placement":',
        distribution.candidates.placement,
        b",",
        distribution.answer(selection.chosen),
        b',"policy_version":',
        distribution.version,
        b"}" if decided.logged and not decided.metadata.fallback else _marks(decided),
    )
    return b"".join(parts)


def slots_answer(decided: Decided, ids: Sequence[str]) -> bytes:
    """Returns the JSON of a `RankSlotsAnswer`."""
    slots = b",".join(
        b'{"slot":%d,"id":%b,%b}' % (one.slot, _encode(name), one.distribution.answer(one.chosen))
        for one, name in zip(decided.selections, ids, strict=True)
    )
    distribution = decided.selections[0].distribution
    return b'{"event_id":%b,"placement":%b,"slots":[%b],"policy_version":%b%b' % (
        _encode(decided.metadata.event_id),
        distribution.candidates.placement,
        slots,
        distribution.version,
        _marks(decided),
    )


def _marks(decided: Decided) -> bytes:
    """Returns the end of an answer, with what is out of the ordinary."""
    not_logged = b"" if decided.logged else b',"logged":false'
    return not_logged + (b',"fallback":true}' if decided.metadata.fallback else b"}")
