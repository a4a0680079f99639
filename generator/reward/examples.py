"""Examples to learn from: texts that were tried side by side, and what each earned.

From interactions an arm's plain mean would depend on whom the policy showed it to; one over the
propensity takes that out, and the effective sample size says what is left to believe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from bandit.ab_tests import AbTest
from generator.winners import Winners
from streams.events import Creative, Interaction

FEWEST_SHOWINGS: Final = 1.0
"""An arm of a smaller effective sample size is not an example of anything."""


class Example(NamedTuple):
    """A text and what it earned.

    Attributes:
        group: what it was tried beside shares this name: a test, or a placement.
        text: as it was shown; several parts are joined by a line break.
        rate: estimated reward a showing.
        variance: of that estimate, above 0.
    """

    group: str
    text: str
    rate: float
    variance: float


def from_ab_tests(tests: Sequence[AbTest]) -> list[Example]:
    """Returns the arms of finished tests; ones of a test without a click are left out."""
    found = []
    for test in tests:
        clicks = sum(arm.clicks for arm in test.arms)
        level = clicks / sum(arm.impressions for arm in test.arms)
        found += [
            Example(test.id, arm.headline, arm.ctr, level * (1.0 - level) / arm.impressions)
            for arm in test.arms
            if 0.0 < level < 1.0
        ]
    return found


def from_interactions(
    interactions: Iterable[Interaction], creatives: Mapping[tuple[str, str], Creative]
) -> list[Example]:
    """Returns the creatives of each placement with their SNIPS estimates (`generator.winners`).

    A rate is taken to vary as that of clicks at the placement's level does.

    Args:
        interactions: of one placement or of several, each decision's last one counting.
        creatives: by placement and id; interactions of others are passed over.
    """
    placements: dict[str, Winners] = {}
    for interaction in interactions:
        decision = interaction.decision
        if (decision.placement, decision.action.id) in creatives:
            placements.setdefault(decision.placement, Winners()).add(interaction)
    found = []
    for placement, own in sorted(placements.items()):
        shown = [w for w in own.ranked() if w.effective_n >= FEWEST_SHOWINGS]
        total = sum(winner.effective_n for winner in shown)
        level = sum(w.effective_n * w.estimate for w in shown) / total if total else 0.0
        if not 0.0 < level < 1.0:
            continue
        found += [
            Example(
                placement,
                text_of(creatives[placement, winner.creative_id]),
                winner.estimate,
                level * (1.0 - level) / winner.effective_n,
            )
            for winner in shown
        ]
    return found


def text_of(creative: Creative) -> str:
    """Returns the creative's parts as one text, in the order of their names."""
    return "\n".join(text for _, text in sorted(creative.parts.items()))
