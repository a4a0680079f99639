"""What is known of each creative, how surely one is better, and whose clicks are not believed.

Each decision counts with one over its propensity, and creatives are compared only where they stood
side by side: in one placement and segment. A forged winner would be taught to the model and shown
to everybody, so it is left out and named.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from bandit.ope.estimators.snips import Winner, Winners
from bandit.policies.best import beta_best
from generator.errors import DatasetError
from generator.writing.insights import value_at
from streams.events import Creative, Interaction

PRIOR_REWARDS: Final = 1.0
"""What the level of its company is worth beside a creative's own showings: one click."""


class Evidence(NamedTuple):
    """A creative in one segment: what it earned, and what its company did.

    Attributes:
        creative: its text and lineage.
        segment: the value of the segment's field in contexts; empty for everybody.
        winner: its SNIPS estimate, and the effective sample size behind that.
        level: the placement's mean reward in this segment, estimated likewise.
    """

    creative: Creative
    segment: str
    winner: Winner
    level: float


def gather(
    interactions: Iterable[Interaction],
    creatives: Mapping[tuple[str, str], Creative],
    *,
    segment_field: str | None = None,
) -> list[Evidence]:
    """Returns the evidence of every creative and segment, the surest of each segment first.

    Args:
        interactions: of any placements, in the order of their log; corrections count.
        creatives: by placement and id; interactions of others are passed over.
        segment_field: the field of contexts that tells segments apart, keys joined by dots.

    Raises:
        DatasetError: a reward is outside [0, 1].
    """
    parts: dict[tuple[str, str], Winners] = {}
    for interaction in interactions:
        decision = interaction.decision
        if not 0.0 <= interaction.reward <= 1.0:
            raise DatasetError(
                f"decision {decision.event_id!r} earned {interaction.reward}; expected 0 to 1: "
                "give the placement's kinds weights that keep rewards there"
            )
        if (decision.placement, decision.action.id) in creatives:
            segment = segment_of(decision.context, segment_field) if segment_field else ""
            parts.setdefault((decision.placement, segment), Winners()).add(interaction)
    found = []
    for (placement, segment), own in sorted(parts.items()):
        winners = own.ranked()
        total = sum(winner.effective_n for winner in winners)
        level = sum(winner.effective_n * winner.estimate for winner in winners) / total
        found += [Evidence(creatives[placement, w.creative_id], segment, w, level) for w in winners]
    return found


def chance_better(one: Evidence, other: Evidence) -> float:
    """Returns the probability that `one` earns more than `other`, of the same segment.

    Both have Beta posteriors: SNIPS estimates as if seen in their effective sample sizes, beside
    a prior at the level of their company that is worth `PRIOR_REWARDS`.
    """
    pair = np.array([_posterior(one), _posterior(other)])
    return float(beta_best(pair[:, 0], pair[:, 1], np.ones(2))[0])


def _posterior(evidence: Evidence) -> tuple[float, float]:
    level = min(max(evidence.level, 1e-6), 1.0 - 1e-6)
    n, estimate = evidence.winner.effective_n, min(max(evidence.winner.estimate, 0.0), 1.0)
    alpha = PRIOR_REWARDS + n * estimate
    beta = PRIOR_REWARDS * (1.0 - level) / level + n * (1.0 - estimate)
    # what `beta_best` is exact for begins at a hundredth
    return max(alpha, 0.01), max(beta, 0.01)


def segment_of(context: msgspec.Raw, path: str) -> str:
    """Returns the value that a context has at a path, as text; empty where there is none.

    >>> segment_of(msgspec.Raw(b'{"user": {"plan": "free"}}'), "user.plan")
    'free'
    """
    value = value_at(msgspec.json.decode(context), path)
    return "" if value is None or isinstance(value, dict | list) else str(value)


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

SuspicionRule: TypeAlias = Literal["one_user", "too_fast", "departs"]


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
    rule: SuspicionRule
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
                creative = one.creative
                found.append(
                    Suspicion(creative.placement, creative.id, "departs", apart, DEPARTS, why)
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
