"""Examples to learn from: texts that were tried side by side, and what each earned.

From interactions an arm's plain mean would depend on whom the policy showed it to; one over the
propensity takes that out, and the effective sample size says what is left to believe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bandit.abtests.data import AbTest
from generator.rotation import RotationState
from streams.catalogue import Catalogue
from streams.events import Creative

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


def from_states(states: Mapping[str, RotationState], catalogue: Catalogue) -> list[Example]:
    """Returns the creatives of each placement with their SNIPS estimates, in order of placement.

    A rate is taken to vary as that of clicks at the placement's level does.

    Args:
        states: what interactions add up to, by placement.
        catalogue: where the texts are; a creative that is not in it is passed over.
    """
    found = []
    for placement, state in sorted(states.items()):
        known = ((catalogue.creative(placement, name), state.total(name)) for name in state.spans)
        shown = [
            (creative, sums)
            for creative, sums in known
            if creative is not None and sums.effective_n >= FEWEST_SHOWINGS
        ]
        total = sum(sums.effective_n for _, sums in shown)
        earned = sum(sums.effective_n * sums.estimate for _, sums in shown)
        if not 0.0 < earned < total:
            continue
        level = earned / total
        found += [
            Example(
                placement,
                text_of(creative),
                sums.estimate,
                level * (1.0 - level) / sums.effective_n,
            )
            for creative, sums in shown
        ]
    return found


def text_of(creative: Creative) -> str:
    """Returns the creative's parts as one text, in the order of their names."""
    return "\n".join(text for _, text in sorted(creative.parts.items()))
