"""Every creative judged by itself, in every segment: what it earns wherever it can be shown.

This is what fine-tuning learns from, and what a marketer asks first. A plain click rate depends on
who a creative was shown to; these do not, and say how sure they are, and how probably one creative
is better than another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import msgspec
import numpy as np

from bandit.distributions import check_level, quantile
from bandit.errors import EstimateError
from bandit.ope.base import Batch, Estimate, Floats
from bandit.ope.batches import segment_of, units_of
from bandit.ope.estimators.doubly_robust import Dr
from bandit.ope.estimators.importance import Snips
from bandit.ope.estimators.running import RunningEstimate
from bandit.ope.intervals import LEVEL, Interval
from bandit.ope.models import RewardModel
from bandit.ope.readers.events import LoggedEvent

ALL: Final = "all"
AT_ONCE: Final = 2000
GRID: Final = 2000
PRIOR: Final = 0.5
"""Of Jeffreys' Beta prior: half a success, half a failure."""


class CreativeEstimate(msgspec.Struct, frozen=True):
    """What a creative earns in a segment, over the decisions in which it could be shown.

    Attributes:
        creative_id: the action's id.
        segment: a value of the segment asked for, or `all`.
        shown: how often it was shown.
        offered: in how many decisions it could have been.
        effective: the effective sample size of its weights, (Σ w)² / Σ w².
        snips: the mean reward, self-normalised (Swaminathan & Joachims 2015, equation 9).
        dr: the doubly robust one (Dudík, Langford & Li 2011, equation 2); None without a model.
        interval: of `dr`, or of `snips` without a model, or where nothing that was shown earned
            anything; see `RewardSupport.interval`.
    """

    creative_id: str
    segment: str
    shown: int
    offered: int
    effective: float
    snips: float | None
    dr: float | None
    interval: Interval | None

    @property
    def value(self) -> float | None:
        """The better of the two: `dr` if there is one."""
        return self.snips if self.dr is None else self.dr


class CreativeJudge:
    """Keeps a few sums for each creative and segment; streaming, and added up with `+`.

    Args:
        segment: by what to tell decisions apart, as `segment_of` has it; None for all together.
        model: a reward model fitted to the log, for `dr`.
        unit: whose decisions depend on each other; see `units_of`.
    """

    def __init__(
        self,
        segment: str | None = None,
        model: RewardModel | None = None,
        unit: str | None = None,
    ) -> None:
        self._segment = segment
        self._model = model
        self._unit = unit
        self._tallies: dict[tuple[str, str], _Tally] = {}

    def add(self, events: Sequence[LoggedEvent]) -> None:
        """Takes in decisions, all of whose actions count as offered."""
        scores = None if self._model is None else self._model.scores(events)
        units = units_of(events, self._unit)
        for number, event in enumerate(events):
            label = ALL if self._segment is None else segment_of(event, self._segment)
            decision = event.decision
            for place, action in enumerate(decision.actions):
                key = (action.id, label)
                tally = self._tallies.get(key)
                if tally is None:
                    tally = self._tallies[key] = _Tally(scored=scores is not None)
                mine = place == decision.index
                score = 0.0 if scores is None else float(scores[number][place])
                row = (event.reward if mine else 0.0, decision.propensity, float(mine), score)
                tally.take(row, None if units is None else units[number])

    def get(self, level: float = LEVEL) -> list[CreativeEstimate]:
        """Returns what is known of each, segment by segment, the best lower bounds first."""
        found = [
            tally.estimate(creative_id, label, level)
            for (creative_id, label), tally in self._tallies.items()
        ]
        return sorted(
            found,
            key=lambda one: (
                one.segment,
                -one.interval.low if one.interval is not None else np.inf,
                one.creative_id,
            ),
        )

    def __add__(self, other: CreativeJudge) -> CreativeJudge:
        asked, others = ((one._segment, one._model is None, one._unit) for one in (self, other))
        if asked != others:
            raise EstimateError(
                "what was kept by different segments, models or units cannot be added up"
            )
        total = CreativeJudge(self._segment, self._model, self._unit)
        for one in (self, other):
            for key, tally in one._tallies.items():
                held = total._tallies.get(key)
                total._tallies[key] = tally if held is None else held + tally
        return total


def judge_creatives(
    events: Iterable[LoggedEvent],
    *,
    segment: str | None = None,
    model: RewardModel | None = None,
    unit: str | None = None,
    level: float = LEVEL,
) -> list[CreativeEstimate]:
    """Returns what each creative of a log earns, wherever it can be shown.

    Args:
        events: the log, as a reader gives it.
        segment: by what to tell decisions apart, as `segment_of` has it; None for all together.
        model: a reward model fitted to the same log (`fit_model`), which scores by cross-fitting.
        unit: whose decisions depend on each other, as `units_of` has it.
        level: of the intervals.

    Raises:
        FeatureError: features that the segment or the model cannot read.
        EstimateError: the level is not between 0 and 1.
    """
    judge, waiting = CreativeJudge(segment, model, unit), iter(events)
    while batch := list(islice(waiting, AT_ONCE)):
        judge.add(batch)
    return judge.get(check_level(level))


def p_better(one: CreativeEstimate, other: CreativeEstimate) -> float:
    """Returns how probably the first creative earns more than the second; rewards in [0, 1].

    Each has the Beta posterior whose mean and spread are those of its estimate: Jeffreys' prior
    and, at the effective sample size, so many successes. Integrated on a grid.

    >>> good, bad = (CreativeEstimate(n, "all", 500, 500, 500.0, v, None, None)
    ...              for n, v in (("a", 0.10), ("b", 0.05)))
    >>> round(p_better(good, bad), 3), round(p_better(good, good), 3)
    (0.999, 0.5)
    """
    mine, theirs = _masses(one), _masses(other)
    below = np.cumsum(theirs) - 0.5 * theirs
    return float((mine * below).sum())


class _Tally:
    """The sums of one creative in one segment."""

    def __init__(self, *, scored: bool) -> None:
        self._offered = self._shown = 0
        # to the policy that always shows this creative; SNIPS needs what was shown alone
        self._snips: RunningEstimate[Batch] = RunningEstimate(Snips())
        self._dr: RunningEstimate[Batch] | None = RunningEstimate(Dr()) if scored else None
        self._waiting: list[tuple[float, float, float, float]] = []
        self._units: list[np.uint64] = []

    def take(self, row: tuple[float, float, float, float], unit: np.uint64 | None) -> None:
        """Takes in a decision: reward, propensity, whether it was shown, score; and its unit."""
        mine = row[2] > 0.0
        self._offered += 1
        self._shown += mine
        if not mine and self._dr is None:
            return
        self._waiting.append(row)
        if unit is not None:
            self._units.append(unit)
        if len(self._waiting) >= AT_ONCE:
            self._fold_in()

    def estimate(self, creative_id: str, label: str, level: float) -> CreativeEstimate:
        self._fold_in()
        snips = self._snips.get(level)
        robust = Estimate(0, None, None) if self._dr is None else self._dr.get(level)
        return CreativeEstimate(
            creative_id,
            label,
            self._shown,
            self._offered,
            1.0 / self._snips.support.unit if self._shown else 0.0,
            snips.value,
            robust.value,
            robust.interval or snips.interval,
        )

    def _fold_in(self) -> None:
        if not self._waiting:
            return
        reward, propensity, target, score = np.array(self._waiting, dtype=np.float64).T
        units = np.array(self._units, dtype=np.uint64) if self._units else None
        batch = Batch(reward, propensity, target, score, score, unit=units)
        self._snips.add(batch)
        if self._dr is not None:
            self._dr.add(batch)
        self._waiting.clear()
        self._units.clear()

    def __add__(self, other: _Tally) -> _Tally:
        self._fold_in()
        other._fold_in()
        total = _Tally(scored=self._dr is not None)
        total._offered = self._offered + other._offered
        total._shown = self._shown + other._shown
        total._snips = self._snips + other._snips
        if self._dr is not None and other._dr is not None:
            total._dr = self._dr + other._dr
        return total


def _masses(one: CreativeEstimate) -> Floats:
    """Returns the posterior's mass on each cell of a grid of [0, 1], fine near 0, shape (GRID,)."""
    value = one.value
    if value is None or not one.effective:
        a = b = PRIOR
    else:
        share = min(max(value, 0.0), 1.0)
        n = one.effective
        if one.dr is not None and one.interval is not None and 0.0 < share < 1.0:
            # as many decisions as would make a rate this sure
            half = (one.interval.high - one.interval.low) / 2.0
            z = quantile(one.interval.level)
            n = max(share * (1.0 - share) * (z / half) ** 2, 1.0) if half else n
        a, b = PRIOR + share * n, PRIOR + (1.0 - share) * n
    x = (np.arange(GRID) + 0.5) / GRID
    x = x * x
    # cells widen as x = u², so the density in u is that of x times 2 u
    log = (a - 0.5) * np.log(x) + (b - 1.0) * np.log1p(-x)
    mass: Floats = np.exp(log - log.max())
    mass /= mass.sum()
    return mass
