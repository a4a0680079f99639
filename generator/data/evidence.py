"""What is known of each creative, and how surely one is better than another.

Clicks alone say whom a creative was shown to. Each decision counts with one over its propensity,
and creatives are compared only where they stood side by side: in one placement and segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np

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
