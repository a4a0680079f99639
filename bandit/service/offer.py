"""What is the same from one decision to the next, kept as the bytes that are written and answered.

Between two changes of a placement's creatives the actions of all its decisions are alike, and
between two snapshots of a policy that reads no context so are the pmf and every answer but for
its event id. Encoding them once and splicing them in costs a fraction of encoding them anew, and
gives the very bytes that encoding the whole event would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from threading import Lock
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from bandit.lid import lid_over
from bandit.policy import Policy, draw, is_context_free
from streams.caps import Lid
from streams.events import (
    DECISIONS,
    FALLBACK_VERSION,
    FIRST_VERSION,
    SHORTLIST_VERSION,
    Action,
    Creative,
    check_pmf,
)
from streams.log import Message, Shared
from streams.shortlists import Shortlisted
from streams.traceparent import trace_headers

_encode = msgspec.json.Encoder().encode

HEAD: Final = b'{"type":"decision","event_id":%b,"placement":%b,"timestamp_ms":%d,"context":'
END: Final = b',"slot":%d,"deferred":%b,%b"traceparent":%b,"v":%d}'
PLAIN_END: Final = END % (0, b"false", b"", b"null", FIRST_VERSION)


class Offer:
    """Actions to choose from.

    Args:
        placement: whose they are.
        actions: as the policy sees them and the log keeps them.
        creatives: the placement's by id, whose text is answered.
        lid: on those that get a small share of the traffic together.
    """

    __slots__ = (
        "_context_free",
        "_creatives",
        "_odds",
        "_part",
        "_policy",
        "actions",
        "asking",
        "json",
        "lid",
        "mark",
        "name",
        "placement",
    )

    def __init__(
        self,
        placement: str,
        actions: tuple[Action, ...],
        creatives: Mapping[str, Creative],
        lid: Lid | None = None,
    ) -> None:
        self.name = placement
        self.asking = Lock()
        self.placement = _encode(placement)
        self.actions = actions
        self.json = b',"actions":%b,"pmf":' % _encode(actions)
        self.lid = lid_over(actions, lid)
        self.mark = b"" if self.lid is None else b'"lid":%b,' % _encode(self.lid)
        self._creatives = creatives
        self._part: Offer | None = None
        self._policy: Policy | None = None
        self._context_free = False
        self._odds: Odds | None = None

    def of(self, actions: tuple[Action, ...]) -> Offer:
        """Returns the same for only some of the actions, or for others."""
        if actions is self.actions:
            return self
        # What caps leave is the same tuple for a while.
        if self._part is None or self._part.actions is not actions:
            self._part = Offer(self.name, actions, self._creatives, self.lid)
        return self._part

    def beside(self, actions: tuple[Action, ...]) -> Offer:
        """Returns the same for some of the actions, which are not asked for again."""
        return Offer(self.name, actions, self._creatives, self.lid)

    def known_odds(self, policy: Policy) -> Odds | None:
        """Returns the odds that were kept of this very policy, None if there are none."""
        return self._odds if self._policy is policy else None

    def keep_odds(self, policy: Policy, odds: Odds) -> None:
        """Keeps the odds, if the policy gives the same whatever the context."""
        if self._policy is not policy:
            self._odds, self._policy = None, policy
            self._context_free = is_context_free(policy)
        if self._context_free:
            self._odds = odds

    def shown(self, index: int) -> bytes:
        """Returns how an answer shows the action: its id, and the text of a creative of ours."""
        action = self.actions[index]
        creative = self._creatives.get(action.id)
        if creative is None:
            return b'{"id":%b}' % _encode(action.id)
        return b'{"id":%b,"parts":%b}' % (_encode(action.id), _encode(creative.parts))


class Odds:
    """The pmf that one policy gives one offer, with the bytes that follow from it.

    Raises:
        ValueError: these are no probabilities of these actions.
    """

    __slots__ = ("_answers", "_cumulative", "_logged", "_version", "highest", "offer", "pmf")

    def __init__(self, offer: Offer, pmf: Sequence[float], version: str) -> None:
        check_pmf(pmf, len(offer.actions))
        self.offer = offer
        self.pmf = tuple(pmf)
        self.highest = max(self.pmf)
        self._version = _encode(version)
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
            parts = _encode(self.pmf), index, self._version
            found = self._logged[index] = b'%b,"index":%d,"policy_version":%b' % parts
        return found

    def answer(self, index: int) -> bytes:
        """Returns a slot's answer from `action` to `pmf`, without the braces."""
        found = self._answers.get(index)
        if found is None:
            entries = zip(self.offer.actions, self.pmf, strict=True)
            pmf = _encode([{"id": action.id, "propensity": share} for action, share in entries])
            shown, propensity = self.offer.shown(index), _encode(self.pmf[index])
            parts = shown, index, propensity, pmf
            found = b'"action":%b,"index":%d,"propensity":%b,"pmf":%b' % parts
            self._answers[index] = found
        return found

    @property
    def version(self) -> bytes:
        """The policy's version, as JSON."""
        return self._version


class Drawn(NamedTuple):
    """What was chosen from: `chosen` is the index drawn from `odds`, seen in `context`.

    `shortlist` is as in `Decision`.
    """

    context: Raw
    odds: Odds
    chosen: int
    shortlist: Shortlisted | UnsetType = UNSET


class Stamp(NamedTuple):
    """What the decisions of one request have in common; `fallback` as in `Decision`."""

    event_id: str
    timestamp_ms: int
    deferred: bool
    traceparent: str | None
    fallback: bool = False


def decision_message(drawn: Drawn, stamp: Stamp, slot: int = 0) -> Message:
    """Returns the decision for the log: the bytes of `streams.events.encode`, spliced."""
    context, odds, chosen, shortlist = drawn
    offer = odds.offer
    event_id, timestamp_ms, deferred, traceparent, fallback = stamp
    head = HEAD % (_encode(event_id), offer.placement, timestamp_ms)
    if slot or deferred or traceparent or fallback or shortlist or offer.mark:
        mark, version = b"", FIRST_VERSION
        if fallback:
            mark, version = b'"fallback":true,', FALLBACK_VERSION
        if shortlist:
            mark, version = mark + b'"shortlist":%b,' % _encode(shortlist), SHORTLIST_VERSION
        if not fallback:
            mark += offer.mark
        rest = slot, _encode(deferred), mark, _encode(traceparent), version
        end, headers = END % rest, trace_headers(traceparent)
    else:
        end, headers = PLAIN_END, ()
    value = b"".join((head, context, offer.json, odds.logged(chosen), end))
    # The next shortlist is another one: to keep its actions apart would keep them for nobody.
    shared = None if shortlist else Shared(offer.json, len(head) + len(memoryview(context)))
    return Message(DECISIONS, event_id.encode(), value, headers, None, None, shared)


def rank_answer(drawn: Drawn, stamp: Stamp, *, logged: bool) -> bytes:
    """Returns the JSON of a `RankAnswer`."""
    odds = drawn.odds
    parts = (
        b'{"event_id":',
        _encode(stamp.event_id),
        b',"placement":',
        odds.offer.placement,
        b",",
        odds.answer(drawn.chosen),
        b',"policy_version":',
        odds.version,
        b"}" if logged and not stamp.fallback else _marks(stamp, logged=logged) + b"}",
    )
    return b"".join(parts)


def slots_answer(
    drawn: Sequence[Drawn], ids: Sequence[str], stamp: Stamp, *, logged: bool
) -> bytes:
    """Returns the JSON of a `RankSlotsAnswer`."""
    slots = b",".join(
        b'{"slot":%d,"id":%b,%b}' % (slot, _encode(name), one.odds.answer(one.chosen))
        for slot, (one, name) in enumerate(zip(drawn, ids, strict=True))
    )
    odds = drawn[0].odds
    return b'{"event_id":%b,"placement":%b,"slots":[%b],"policy_version":%b%b}' % (
        _encode(stamp.event_id),
        odds.offer.placement,
        slots,
        odds.version,
        _marks(stamp, logged=logged),
    )


def _marks(stamp: Stamp, *, logged: bool) -> bytes:
    not_logged = b"" if logged else b',"logged":false'
    return not_logged + (b',"fallback":true' if stamp.fallback else b"")
