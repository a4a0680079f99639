"""What an account's impressions and clicks say, as decisions that a placement learns from.

Another place saw these ads, at other times and among other rivals, so what was seen there counts
for less than what is seen here: each creative's counts are scaled down to a bound and keep their
rate (a power prior: Ibrahim & Chen 2000, https://doi.org/10.1214/ss/1009212673). They become
interactions of the log, so policies, priors and reward models learn from them as from any other.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from bandit.ope.readers.events import LoggedEvent
from streams.events import EMPTY, Action, Creative, Decision, RewardRule

CLICK: Final = "click"
MOST_SHOWINGS: Final = 1000
"""What a creative's impressions count as, at most."""
MOST_CLICKS: Final = 30
"""The same of its clicks: a rate that is known within a fifth."""
MOST_IN_ALL: Final = 10_000
"""What a file counts as, at most, so that the log does not grow by a platform's traffic."""
BESIDE: Final = 4
"""How many creatives of an ad group stand side by side in one decision; each is written whole."""
VERSION: Final = "imported"
"""The policy version of decisions that no policy of ours made."""


class Seen(NamedTuple):
    """What an account says of a creative, and in which ad group it was shown."""

    creative: Creative
    impressions: int
    clicks: int
    group: str = ""


class Counted(NamedTuple):
    """What a creative's figures count as: so many showings, at the same rate."""

    seen: Seen
    showings: int


def click_reward(rule: RewardRule) -> float | None:
    """Returns what a click earns by itself, None where clicks earn nothing more than none do.

    >>> click_reward(RewardRule())
    1.0
    """
    kind = rule.kinds.get(CLICK)
    if kind is None:
        return None
    earned = min(max(kind.weight, rule.minimum), rule.maximum)
    return earned if earned > rule.default else None


def counted(seen: Iterable[Seen], most: int = MOST_SHOWINGS) -> list[Counted]:
    """Returns what each creative's figures count as, those that were never shown left out.

    >>> creative = Creative(id="a", placement="p", parts={}, status="live", timestamp_ms=0)
    >>> [found] = counted([Seen(creative, 100_000, 10_000)])
    >>> found.showings
    300
    """
    shown = [each for each in seen if each.impressions]
    most = max(min(most, MOST_IN_ALL // max(len(shown), 1)), 1)
    found = []
    for each in shown:
        enough = math.ceil(MOST_CLICKS * each.impressions / each.clicks) if each.clicks else most
        found.append(Counted(each, min(each.impressions, most, enough)))
    return found


def decisions(
    found: Sequence[Counted], placement: str, rule: RewardRule, at_ms: int
) -> Iterator[LoggedEvent]:
    """Yields the decisions that the figures count as, creatives in turn.

    Those of an ad group stand side by side, each as likely as it was shown. A creative's n-th
    showing has the same event id whenever its figures come, so figures that have grown add what
    is new, and the same ones nothing. What makes no whole click is a part of a reward.

    Args:
        found: what each creative's figures count as.
        placement: that is to learn from them.
        rule: what it rewards; `click_reward` of it is not None.
        at_ms: when the figures are of.
    """
    earned = click_reward(rule) or rule.default
    order: list[tuple[float, int, int]] = []
    sides = _side_by_side(found)
    for number, each in enumerate(found):
        order += [((k + 0.5) / each.showings, number, k) for k in range(each.showings)]
    for _, number, k in sorted(order):
        each = found[number]
        actions, pmf, index = sides[number]
        clicks = _clicks(each, k)
        yield LoggedEvent(
            Decision(
                event_id=f"imported-{_short(each.seen.creative.id)}-{k}",
                placement=placement,
                timestamp_ms=at_ms,
                context=EMPTY,
                actions=actions,
                pmf=pmf,
                index=index,
                policy_version=VERSION,
            ),
            rule.default + clicks * (earned - rule.default),
        )


def _clicks(each: Counted, k: int) -> float:
    """Returns the clicks of the k-th showing: 0 or 1, and of the first what makes no whole one."""
    clicks, impressions = each.seen.clicks, each.seen.impressions
    whole = (k + 1) * clicks // impressions - k * clicks // impressions
    # Where every showing is a click, nothing is left.
    left = (each.showings * clicks % impressions) / impressions if k == 0 else 0.0
    return whole + left


def _side_by_side(
    found: Sequence[Counted],
) -> list[tuple[tuple[Action, ...], tuple[float, ...], int]]:
    """Returns for each creative who stands beside it, how likely each is, and which it is."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, each in enumerate(found):
        groups[each.seen.group].append(number)
    sides: list[tuple[tuple[Action, ...], tuple[float, ...], int]] = [((), (), 0)] * len(found)
    for members in groups.values():
        rounds = math.ceil(len(members) / BESIDE)
        for first in range(rounds):
            company = members[first::rounds]
            total = sum(found[n].showings for n in company)
            creatives = [found[n].seen.creative for n in company]
            actions = tuple(Action(c.id, c.features) for c in creatives)
            pmf = tuple(found[n].showings / total for n in company)
            for index, number in enumerate(company):
                sides[number] = actions, pmf, index
    return sides


def _short(creative_id: str) -> str:
    return hashlib.blake2b(creative_id.encode(), digest_size=12).hexdigest()
