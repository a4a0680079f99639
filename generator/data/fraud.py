"""Creatives whose clicks do not look like people's: told before anything is learned from them.

A forged winner would be taught to the model and shown to everybody, so it is left out and named.
Three things are looked at: whether one user made many of its clicks, whether clicks came faster
than anyone reads, and whether it departs from its company beyond what its company varies by.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from generator.data.evidence import Evidence
from streams.events import Interaction

FEWEST_CLICKS: Final = 10
"""Of fewer clicks nothing is said: three of four may well be one visitor's."""
ONE_USER: Final = 0.25
"""The largest share of a creative's clicks that one user may make."""
FAST_SECONDS: Final = 0.3
"""Nobody reads a headline and clicks within this time."""
TOO_FAST: Final = 0.25
"""The largest share of clicks that may come so fast."""
DEPARTS: Final = 6.0
"""Standard deviations from the others of its placement and segment, their own spread included."""
USUAL_SPREAD: Final = 0.65
"""By what share of their level honest texts of a placement differ at least: without this, honest
winners three times as good as the rest were doubted where the rest were much alike."""
FEWEST_OTHERS: Final = 4
"""With fewer others nobody can say what is usual."""

IMPRESSION: Final = "impression"

Rule: TypeAlias = Literal["one_user", "too_fast", "departs"]


class Suspicion(NamedTuple):
    """Why a creative's clicks are not believed.

    Attributes:
        placement: where it was shown.
        creative_id: which it is.
        rule: `one_user`, `too_fast` or `departs`.
        value: what was measured.
        bound: the most that the rule lets through.
        why: the same in words.
    """

    placement: str
    creative_id: str
    rule: Rule
    value: float
    bound: float
    why: str


class _User(Struct):
    user: str | int | UnsetType = UNSET


class _Clicks:
    def __init__(self) -> None:
        self.rewarded = self.fast = self.timed = 0
        self.by_user: Counter[str] = Counter()


class ClickLook:
    """Looks at interactions as they pass, and keeps a few counts for each creative.

    Users are told apart by the context's `user`; where contexts name none, nobody can be found
    to click too often.

    Args:
        earning: the kinds of outcome that earn anything, by placement. Of others, an impression
            say, nobody expects that they take time; of a placement that is not named, every kind
            counts but impressions.
    """

    def __init__(self, earning: Mapping[str, Collection[str]] | None = None) -> None:
        self._earning = earning or {}
        self._clicks: dict[tuple[str, str], _Clicks] = defaultdict(_Clicks)

    def passing(self, interactions: Iterable[Interaction]) -> Iterator[Interaction]:
        """Yields the same interactions, having looked at each."""
        for interaction in interactions:
            if interaction.reward > (interaction.previous_reward or 0.0):
                self._count(interaction)
            yield interaction

    def suspicions(self) -> list[Suspicion]:
        """Returns what users and times say, in order of placement and creative."""
        return [found for key, own in sorted(self._clicks.items()) for found in _of(*key, own)]

    def _count(self, interaction: Interaction) -> None:
        decision = interaction.decision
        own = self._clicks[decision.placement, decision.action.id]
        own.rewarded += 1
        user = _user(decision.context)
        if user is not None:
            own.by_user[user] += 1
        earning = self._earning.get(decision.placement)
        times = [
            outcome.timestamp_ms
            for outcome in interaction.outcomes
            if (outcome.kind != IMPRESSION if earning is None else outcome.kind in earning)
        ]
        if times:
            own.timed += 1
            own.fast += min(times) - decision.timestamp_ms < 1000.0 * FAST_SECONDS


def _user(context: Any) -> str | None:
    try:
        user = msgspec.json.decode(context, type=_User).user
    except msgspec.ValidationError:
        return None
    return None if user is UNSET else str(user)


def _of(placement: str, creative_id: str, own: _Clicks) -> Iterator[Suspicion]:
    if sum(own.by_user.values()) >= FEWEST_CLICKS:
        user, most = own.by_user.most_common(1)[0]
        share = most / sum(own.by_user.values())
        if share > ONE_USER:
            why = f"user {user!r} made {most} of its {sum(own.by_user.values())} clicks"
            yield Suspicion(placement, creative_id, "one_user", share, ONE_USER, why)
    if own.timed >= FEWEST_CLICKS:
        share = own.fast / own.timed
        if share > TOO_FAST:
            why = f"{own.fast} of its {own.timed} clicks came within {FAST_SECONDS} s"
            yield Suspicion(placement, creative_id, "too_fast", share, TOO_FAST, why)


def departing(evidence: Sequence[Evidence]) -> list[Suspicion]:
    """Returns the creatives that earned far more than the others of their placement and segment.

    How much the others differ is estimated by moments from what they earned, each one's own
    uncertainty taken out (DerSimonian & Laird 1986), so a placement of good and bad texts allows
    more than one of texts that are much alike; `USUAL_SPREAD` is allowed everywhere.
    """
    companies: dict[tuple[str, str], list[Evidence]] = defaultdict(list)
    for each in evidence:
        companies[each.creative.placement, each.segment].append(each)
    found = []
    for company in companies.values():
        for one in company:
            others = [each for each in company if each is not one]
            if len(others) < FEWEST_OTHERS:
                continue
            apart, level = _apart(one, others)
            if apart > DEPARTS:
                why = (
                    f"it earned {one.winner.estimate:.4f} a showing and the others {level:.4f}: "
                    f"{apart:.1f} standard deviations above, theirs included"
                )
                found.append(
                    Suspicion(
                        one.creative.placement, one.creative.id, "departs", apart, DEPARTS, why
                    )
                )
    return found


def suspicions(look: ClickLook, evidence: Sequence[Evidence]) -> list[Suspicion]:
    """Returns all that is suspicious, in order of placement and creative."""
    return sorted([*look.suspicions(), *departing(evidence)])


def _apart(one: Evidence, others: Sequence[Evidence]) -> tuple[float, float]:
    """Returns by how many standard deviations one is above the others, and their level."""
    total = sum(each.winner.effective_n for each in others)
    level = sum(each.winner.effective_n * each.winner.estimate for each in others) / total
    unit = max(level * (1.0 - level), 1e-9)
    squares = sum((each.winner.estimate - level) ** 2 for each in others) / (len(others) - 1)
    noise = sum(unit / each.winner.effective_n for each in others) / len(others)
    spread = max(squares - noise, (USUAL_SPREAD * level) ** 2)
    own = unit / one.winner.effective_n
    return (one.winner.estimate - level) / math.sqrt(own + spread), level
