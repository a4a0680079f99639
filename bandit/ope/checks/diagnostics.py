"""Whether a log can say anything about a policy at all, in figures and in words.

An estimate from a handful of matching decisions is a number like any other; whoever reads it
must be told. The verdict's code is stable, for programs that decide on it.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from bandit.ope.base import Batch, Floats, Moments
from bandit.ope.checks.weights import CHECK_LEVEL, WeightCheck
from bandit.ope.intervals import Interval, normal
from bandit.ope.units import RewardSupport, TermSums
from streams.counting import count_of

LEAST_REWARDS: Final = 10
LEAST_EFFECTIVE: Final = 100.0
FEWEST_EFFECTIVE: Final = 30.0
LARGEST_SHARE: Final = 0.05
LARGEST_UNSUPPORTED: Final = 0.01
HEAVIEST: Final = 10
LARGEST_CARRIED: Final = 0.5
TOLD_CARRIED: Final = 0.4
EDGES: Final = np.concatenate(([0.0], 2.0 ** np.arange(-6.0, 10.5, 0.5)))
"""Of the histogram of weights: exactly 0, then half an octave each, from 1/64 up."""


class EvaluationVerdict(msgspec.Struct, frozen=True):
    """Whether estimates from this log can be relied on.

    `code` is one of `ok`, `no_decisions`, `no_overlap`, `unsupported`, `actions_unknown`,
    `weights_off`, `few_rewards`, `small_sample`, `few_carry`, `heavy_weight`, `repeated_units`;
    the gravest that
    applies.
    """

    code: str
    words: str

    @property
    def usable(self) -> bool:
        """Whether policies may be ranked by the estimates."""
        return self.code in ("ok", "heavy_weight", "repeated_units")


class Diagnostics(msgspec.Struct, frozen=True):
    """What the weights of a log say about a policy.

    Attributes:
        n: decisions.
        effective: the effective sample size, (Σ w)² / Σ w² (Kish 1965), 0 to n; where a unit is
            named, of the units, with the sum of each one's weights.
        mean_weight: near 1 if the logged propensities are right and cover the policy.
        mean_weight_interval: of the mean weight; None of fewer than two decisions.
        max_weight: the largest weight.
        max_share: its share of all weights.
        zero_share: the share of decisions whose logged action the policy never takes.
        unsupported: the mean share of the policy's pmf on actions that the log's policy never
            takes; None where the log does not tell.
        rewards: decisions with weight whose reward is not 0.
        carried: the share of Σ |w r| that the heaviest decision has, the two heaviest, and so on
            to the ten heaviest.
        weights: how many decisions have a weight of up to each of `EDGES`, and not up to the one
            before it; the last is of all that are above.
        verdict: all of this in words.
        effective_rewards: how many rewards of one size would tell as much, (Σ w r)² / Σ (w r)².
    """

    n: int
    effective: float
    mean_weight: float
    mean_weight_interval: Interval | None
    max_weight: float
    max_share: float
    zero_share: float
    unsupported: float | None
    rewards: int
    carried: tuple[float, ...]
    weights: tuple[int, ...]
    verdict: EvaluationVerdict
    effective_rewards: float = 0.0

    @property
    def proves(self) -> bool:
        """Whether an interval of a difference to another policy is worth showing.

        A small sample is no ranking, but its interval is honest from 30 effective decisions and 10
        effective rewards on.
        """
        small = self.verdict.code == "small_sample" and self.effective >= FEWEST_EFFECTIVE
        return (self.verdict.usable or small) and self.effective_rewards >= LEAST_REWARDS


class Diagnosis:
    """Keeps the sums that `Diagnostics` are made of; streaming, and added up with `+`.

    >>> diagnosis, half = Diagnosis(), np.full(1000, 0.5)
    >>> diagnosis.add(Batch(reward=np.tile([0.0, 1.0], 500), propensity=half, target=half))
    >>> diagnosis.get().verdict.code
    'ok'
    """

    def __init__(self) -> None:
        self._weights = TermSums(1)
        self._largest = 0.0
        self._zeros = 0
        self._rewards = 0
        self._unsupported: float | None = None
        self._heaviest: Floats = np.zeros(HEAVIEST)
        self._carried = self._squares = 0.0
        self._histogram = np.zeros(len(EDGES) + 1, dtype=np.int64)
        self._check = WeightCheck()

    def add(
        self,
        batch: Batch,
        unsupported: float | None = None,
        n_actions: Floats | None = None,
        squares: Floats | None = None,
    ) -> None:
        """Takes in a batch.

        Args:
            batch: decisions.
            unsupported: the sum, over them, of the policy's pmf on actions whose logged
                propensity is 0; None where that is not known.
            n_actions: see `WeightCheck`.
            squares: see `MeanWeight`.
        """
        weight = batch.weight
        if not len(batch):
            return
        self._weights.add(weight[None], batch.unit)
        self._check.add(batch, n_actions, squares)
        self._largest = max(self._largest, float(weight.max()))
        self._zeros += int((weight == 0.0).sum())
        self._rewards += int(((weight > 0.0) & (batch.reward != 0.0)).sum())
        self._unsupported = _sum(self._unsupported, unsupported)
        carried = np.abs(weight * batch.reward)
        self._carried += float(carried.sum())
        self._squares += float(carried @ carried)
        self._heaviest = _largest(np.concatenate((self._heaviest, carried)))
        places = np.searchsorted(EDGES, weight, side="left")
        self._histogram += np.bincount(places, minlength=len(EDGES) + 1)

    def get(self) -> Diagnostics:
        """Returns the diagnostics so far."""
        weights, n = self._weights, self._weights.n
        mean = float(weights.mean[0])
        squares = float(weights.moments.comoment[0, 0]) + n * mean * mean
        if weights.units is not None:
            squares = float((weights.units.get()[0] ** 2).sum())
        interval = None
        if weights.independent > 1:
            interval = normal(mean, weights.error(np.ones(1)), CHECK_LEVEL)
            interval = msgspec.structs.replace(interval, low=max(interval.low, 0.0))
        unsupported = self._unsupported
        found = Diagnostics(
            n=n,
            effective=(n * mean) ** 2 / squares if squares else 0.0,
            mean_weight=mean,
            mean_weight_interval=interval,
            max_weight=self._largest,
            max_share=self._largest / (n * mean) if mean else 0.0,
            zero_share=self._zeros / n if n else 0.0,
            unsupported=None if unsupported is None or not n else unsupported / n,
            rewards=self._rewards,
            carried=tuple((np.cumsum(self._heaviest) / (self._carried or 1.0)).tolist()),
            weights=tuple(self._histogram.tolist()),
            verdict=EvaluationVerdict("ok", ""),
            effective_rewards=self._carried**2 / self._squares if self._squares else 0.0,
        )
        return msgspec.structs.replace(found, verdict=_verdict(found, self._check))

    def __add__(self, other: Diagnosis) -> Diagnosis:
        total = Diagnosis()
        total._weights = self._weights + other._weights
        total._largest = max(self._largest, other._largest)
        total._zeros = self._zeros + other._zeros
        total._rewards = self._rewards + other._rewards
        total._unsupported = _sum(self._unsupported, other._unsupported)
        total._heaviest = _largest(np.concatenate((self._heaviest, other._heaviest)))
        total._carried = self._carried + other._carried
        total._squares = self._squares + other._squares
        total._histogram = self._histogram + other._histogram
        total._check = self._check + other._check
        return total


def _largest(values: Floats) -> Floats:
    """Returns the ten largest, the largest first."""
    top: Floats = np.sort(np.partition(values, len(values) - HEAVIEST)[-HEAVIEST:])[::-1]
    return top


def _sum(first: float | None, second: float | None) -> float | None:
    return second if first is None else first + (second or 0.0)


def _verdict(found: Diagnostics, check: WeightCheck) -> EvaluationVerdict:
    """Returns the gravest finding: first what makes estimates wrong, then what makes them weak."""
    if not found.n:
        return EvaluationVerdict("no_decisions", "There is no decision to judge by.")
    if not found.mean_weight:
        return EvaluationVerdict("no_overlap", "The policy never takes an action that was logged.")
    if found.unsupported is not None and found.unsupported > LARGEST_UNSUPPORTED:
        return EvaluationVerdict(
            "unsupported",
            f"{found.unsupported:.1%} of what the policy does, the log's policy never did: what "
            "that would have earned is not in the log.",
        )
    if (off := check.verdict(found.mean_weight_interval)) is not None:
        return EvaluationVerdict(*off)
    if found.rewards < LEAST_REWARDS:
        some = f"Only {count_of(found.rewards, 'decision')}" if found.rewards else "No decision"
        return EvaluationVerdict(
            "few_rewards",
            f"{some} that the policy might have made earned anything; too few to rank policies.",
        )
    if found.effective < LEAST_EFFECTIVE:
        return EvaluationVerdict(
            "small_sample",
            f"The log is worth {count_of(round(found.effective), 'decision')} of the policy's own; "
            "too few to rank policies.",
        )
    if found.carried[-1] > LARGEST_CARRIED:
        few = next(k for k, share in enumerate(found.carried, start=1) if share >= TOLD_CARRIED)
        some = "1 decision carries" if few == 1 else f"{few} decisions carry"
        return EvaluationVerdict(
            "few_carry",
            f"Do not trust: {some} {found.carried[few - 1]:.0%} of the estimate.",
        )
    if found.max_share > LARGEST_SHARE:
        return EvaluationVerdict(
            "heavy_weight",
            f"One decision carries {found.max_share:.0%} of all weight; prefer snips or dros.",
        )
    return EvaluationVerdict("ok", "The log covers the policy.")


BINS: Final = 10
BIAS_LEVEL: Final = 0.999


class CalibrationBin(msgspec.Struct, frozen=True):
    """Decisions whose scores are alike: what the model expected, and what was earned."""

    n: int
    score: float
    reward: float
    interval: Interval | None


class Calibration(msgspec.Struct, frozen=True):
    """How scores and rewards of the logged actions go together, cross-fitted.

    Attributes:
        bias: the mean reward less the mean score.
        bias_interval: of the bias, at 99.9 %.
        slope: by how much the reward rises with the score; 1 where the model is right, less
            where it claims to know more than it does; None where all scores are alike.
        bins: decisions by their score, from the lowest.
        words: what to think of it.
    """

    bias: float
    bias_interval: Interval | None
    slope: float | None
    bins: tuple[CalibrationBin, ...]
    words: str


class Calibrating:
    """Keeps, for ranges of scores, what was expected and what came.

    The ranges hold equally many of the first decisions.
    """

    def __init__(self) -> None:
        self._edges: Floats | None = None
        self._bins = [(Moments(2), RewardSupport()) for _ in range(BINS)]
        self._all = Moments(2)

    def add(self, score: Floats, reward: Floats) -> None:
        """Takes in decisions, shape (n,) each."""
        if not len(score):
            return
        if self._edges is None:
            self._edges = np.quantile(score, np.arange(1, BINS) / BINS)
        pairs = np.stack((score, reward))
        self._all.add(pairs)
        places = np.searchsorted(self._edges, score, side="right")
        for number, (held, support) in enumerate(self._bins):
            held.add(pairs[:, places == number])
            earned = reward[places == number]
            support.add(np.ones(len(earned)), earned, None)

    def get(self) -> Calibration | None:
        """Returns how well the model is calibrated; None of fewer than two decisions."""
        whole = self._all
        if whole.n < 2:
            return None
        covariance = whole.covariance()
        bias = float(whole.mean[1] - whole.mean[0])
        spread = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
        interval = normal(bias, float(np.sqrt(max(spread, 0.0) / whole.n)), BIAS_LEVEL)
        slope = float(covariance[0, 1] / covariance[0, 0]) if covariance[0, 0] > 1e-18 else None
        bins = tuple(_bin(held, support) for held, support in self._bins if held.n)
        return Calibration(bias, interval, slope, bins, _words(bias, interval, slope))


def _bin(held: Moments, support: RewardSupport) -> CalibrationBin:
    score, reward = (float(mean) for mean in held.mean)
    interval = None
    if held.n > 1:
        error = float(np.sqrt(held.covariance()[1, 1] / held.n))
        interval = support.interval(reward, error, 0.95)
    return CalibrationBin(held.n, score, reward, interval)


def _words(bias: float, interval: Interval, slope: float | None) -> str:
    if 0.0 not in interval:
        side = "less" if bias > 0.0 else "more"
        return f"The reward model expects {side} than was earned, by {abs(bias):.3g} a decision."
    if slope is None:
        return "The reward model expects the same of every decision; it helps no estimate."
    if slope < 0.5:
        return (
            f"Rewards rise by only {slope:.2g} of what the reward model's scores do: it claims to "
            "know more than it does. Prefer snips to dm."
        )
    return "The reward model's scores are what was earned, on average."
