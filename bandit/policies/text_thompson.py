"""Thompson sampling for short tests: it reads the texts first, and then leans on what it sees.

A headline is shown some thousand times before the next story comes, so most of what can be won
lies in starting well and in not trying the worse ones for long. The default policy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from bandit.distributions import gamma_quantile
from bandit.errors import PolicyStateError
from bandit.features.flatten import flatten
from bandit.policies.base import (
    CACHE_SIZE,
    Configured,
    PolicyConfig,
    Positive,
    Share,
    check_share,
)
from bandit.policies.best import Floats, normal_best
from bandit.policies.counts import Curve, DelayedFeedback, Segments, segment_of
from bandit.policies.headlines import HEADLINES
from bandit.policies.simple import Arms
from bandit.policies.thompson import History
from bandit.policy import Belief, Pmf, Policy
from streams.events import Action, Context, Decision

LARGEST_SCORE: Final = 0.5
"""No text is taken to be better or worse than this, in logarithms of the rate."""
SEGMENT_SPREAD: Final = 0.3
"""How far a creative's rate in a segment lies from its rate in the others, as a share."""
STEPS: Final = 30

Weight: TypeAlias = Annotated[float, Meta(ge=-100.0, le=100.0)]

Fields: TypeAlias = Annotated[
    list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=8)
]

_plain_decoder = msgspec.msgpack.Decoder(tuple[bytes, float, float])
_decoder = msgspec.msgpack.Decoder(tuple[bytes, float, float, list[str], bytes | None])


class TextThompsonConfig(PolicyConfig, frozen=True, kw_only=True, tag="text_thompson"):
    """What is believed before anything was seen, and how boldly it is acted upon.

    `weights` say, for features by the name `namespace.feature`, how much of each raises the
    logarithm of a creative's rate, and by the name of a namespace, what having any of it does:
    that makes creatives comparable whose texts were embedded by different models.
    `bandit.abtests.prior.fit_prior` learns them, and `{}` reads no text. `trust` is how much
    information it takes to halve or double what the weights say: a click among creatives whose
    scores spread by 0.1 has 0.01. `strength` is how many clicks that prior is worth in a creative:
    rates lie within 1/√12 = 29 % of it. `mean` is the placement's rate, worth one click. `width`
    scales the posterior's standard deviation (1 is Thompson sampling), and `epsilon` is shared by
    all.

    `segments` names fields of the context (`device`, `user.plan`), each combination of whose values
    has its own audience: a creative's rate in one lies within `segment_spread` of its rate in the
    others, as a share. `delay` are quantiles of how long rewards take, in seconds
    (`copyloop fit-delay`): showings count as far as their rewards have had time to come.
    """

    weights: dict[str, Weight] = msgspec.field(default_factory=lambda: dict(HEADLINES))
    trust: Positive = 5.0
    strength: Annotated[float, Meta(ge=0.1, le=1e6)] = 12.0
    mean: Annotated[float, Meta(ge=1e-6, le=1.0)] = 0.01
    width: Annotated[float, Meta(ge=0.01, le=1.0)] = 0.3
    epsilon: Share = 0.01
    # Left out of the spec where they are not used, so that it stays what it was in older logs.
    segments: Fields | UnsetType = UNSET
    segment_spread: Annotated[float, Meta(ge=0.0, le=100.0)] | UnsetType = UNSET
    delay: Curve | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.segment_spread is not UNSET and self.segments is UNSET:
            raise ValueError("segment_spread needs segments")
        if self.delay is not UNSET and self.delay != sorted(self.delay):
            raise ValueError(f"delay is {self.delay}; quantiles, in ascending order")


class TextThompson(Configured[TextThompsonConfig]):
    """Sharpened Thompson sampling on rates relative to their common level, for rewards in [0, 1].

    The rate of creative k is m·g_k, where g_k has a Gamma prior of shape `strength` around
    exp(trust · s_k), s_k being its features' score beyond the mean of those offered, and the level
    m is that of most posterior density given all of them (empirical Bayes: Efron & Morris 1975).
    With n_k showings and c_k clicks the rate's mean is (a + c_k) / ν_k and its variance
    (a + c_k) / ν_k², where ν_k = a / (m·exp(trust · s_k)) + n_k. The pmf is the probability
    to be the best of Normals with these means and `width` times these deviations (Chapelle & Li
    2011, section 3, scale them likewise), which widen to the whole as a creative falls behind
    its share of the showings (as in MOSS, Audibert & Bubeck 2009); then a floor.

    Which of the offered creatives was clicked tells how far to trust the scores: one Newton step
    for a conditional logit that the level cancels from (McFadden 1974). Both of its sums can be
    corrected exactly, and scores that mislead come to count nothing. It errs on the low side,
    since what is still shown despite a low score is better than its score.

    Where there are segments, what a creative did in the others is a prior for this one, as wide
    as a spread σ between segments makes it: a Gamma of shape A there has the shape A / (1 + σ²A)
    here, and the same mean. So no segment starts from nothing, and none is bound by the rest.

    >>> from streams.events import EMPTY
    >>> policy = TextThompson(TextThompsonConfig())
    >>> policy.pmf(EMPTY, [Action("a"), Action("b")]).tolist()
    [0.5, 0.5]
    """

    Config = TextThompsonConfig

    def __init__(self, config: TextThompsonConfig, state: bytes | None = None) -> None:
        super().__init__(config)
        self.context_free = config.segments is UNSET
        plain = config.segments is UNSET and config.delay is UNSET
        arms, self._information, self._response, known, delayed = _unpack(state, plain)
        self._arms = Arms(arms)
        self._segments = None if config.segments is UNSET else Segments(known)
        self._delayed = None if config.delay is UNSET else DelayedFeedback(config.delay, delayed)
        self._scores: dict[tuple[str, bytes], float] = {}
        self._cache: dict[tuple[float, tuple[_Seen, ...]], dict[_Seen, float]] = {}
        spread = config.segment_spread
        self._segment_spread = SEGMENT_SPREAD if spread is UNSET else spread

    @property
    def trust(self) -> float:
        """How far the scores are believed, from 0, not at all, to 1, as they are."""
        prior = self._config.trust
        found = (prior + self._response) / (prior + max(self._information, 0.0))
        return min(max(found, 0.0), 1.0)

    def pmf(self, context: Context, actions: Sequence[Action]) -> Pmf:
        """Returns the share of each action, shape (n_actions,), none below epsilon / n_actions.

        Within 2e-4 of the probabilities that the docstring of the class defines.
        """
        ids = [action.id for action in actions]
        here = [_NOTHING] * len(ids)
        if self._segments is not None:
            segment = self._segments.kept(self._segment(context))
            here = self._histories([_cell(segment, each) for each in ids])
        seen = list(zip(map(self._score, actions), self._histories(ids), here, strict=True))
        # In one order, so that the order of the actions does not show in a rounding.
        key = (self.trust, tuple(sorted(seen)))
        best = self._cache.get(key)
        if best is None:
            if len(self._cache) * len(seen) >= CACHE_SIZE:
                self._cache.clear()
            best = self._cache[key] = self._best(*key)
        epsilon = self._config.epsilon
        shares = np.array([best[each] for each in seen])
        return (1.0 - epsilon) * shares + epsilon / len(shares)

    def beliefs(self, actions: Sequence[Action]) -> list[Belief]:
        """Returns each creative's Gamma posterior over all segments: mean, 2.5 and 97.5 %."""
        if not actions:
            return []
        scores = np.array([self._score(action) for action in actions])
        histories = np.array(self._histories([action.id for action in actions]))
        shape, showings = self._posterior(
            self.trust, scores, histories[:, 0], histories[:, 1], np.ones(len(actions))
        )
        return [
            Belief(action.id, a / n, gamma_quantile(0.025, a) / n, gamma_quantile(0.975, a) / n)
            for action, a, n in zip(actions, shape.tolist(), showings.tolist(), strict=True)
        ]

    def learn(self, decision: Decision, reward: float) -> None:
        """Adds the reward to the chosen creative's, and to what is known of the scores."""
        segment = self._segment(decision.context)
        self._weigh(decision, check_share(reward))
        for key in self._keys(decision, segment, learned=True):
            self._arms.learn(key, reward)
            if self._delayed is not None:
                self._delayed.learn(key, decision.timestamp_ms)

    def correct(self, decision: Decision, old: float, new: float) -> None:
        """Replaces a reward of the chosen creative by another."""
        segment = self._segment(decision.context)
        self._weigh(decision, check_share(new) - check_share(old))
        for key in self._keys(decision, segment, learned=False):
            self._arms.correct(key, old, new)

    def take_over(self, before: Policy) -> None:
        """Takes over the scores of texts, where the other has the same weights."""
        if isinstance(before, TextThompson) and before._config.weights == self._config.weights:
            self._scores = before._scores

    def _state(self) -> bytes:
        sums = (self._arms.to_bytes(), self._information, self._response)
        if self._segments is None and self._delayed is None:
            return msgspec.msgpack.encode(sums)
        segments = [] if self._segments is None else self._segments.to_list()
        delayed = None if self._delayed is None else self._delayed.to_bytes()
        return msgspec.msgpack.encode((*sums, segments, delayed))

    def _segment(self, context: Context) -> str:
        fields = self._config.segments
        return "" if fields is UNSET else segment_of(context, fields)

    def _keys(self, decision: Decision, segment: str, *, learned: bool) -> list[str]:
        """Returns by what names the chosen creative's history is kept, the segment's last."""
        own = decision.action.id
        if self._segments is None:
            return [own]
        kept = self._segments.learn(segment) if learned else self._segments.kept(segment)
        return [own, _cell(kept, own)]

    def _histories(self, keys: Sequence[str]) -> list[History]:
        """Returns showings, as far as they count by now, and rewards."""
        arms, delayed = self._arms.by_id(keys), self._delayed
        if delayed is None:
            return list(arms)
        return [
            (arm.n - delayed.missing(key), arm.total) for key, arm in zip(keys, arms, strict=True)
        ]

    def _weigh(self, decision: Decision, reward: float) -> None:
        """Adds what `reward` clicks on the chosen one of those offered say of the scores.

        The log likelihood of a trust t is Σ [t·s_chosen − log Σ_k pmf_k exp(t·s_k)]; its slope at
        0 is the chosen score beyond the mean under the pmf, its curvature the variance.
        """
        if not reward:
            return
        scores = np.array([self._score(action) for action in decision.actions])
        pmf = np.array(decision.pmf)
        beyond = _bounded(scores - pmf @ scores)
        self._information += reward * float(pmf @ (beyond * beyond))
        self._response += reward * float(beyond[decision.index])

    def _score(self, action: Action) -> float:
        """Returns what the weights make of an action's features, kept from last time."""
        weights = self._config.weights
        if not weights:
            return 0.0
        key = (action.id, bytes(action.features))
        found = self._scores.get(key)
        if found is None:
            named = flatten(action.features, namespace="action")
            found = sum(weights.get(f"{f.namespace}.{f.name}", 0.0) * f.value for f in named)
            found += sum(weights.get(name, 0.0) for name in sorted({f.namespace for f in named}))
            if len(self._scores) >= CACHE_SIZE:
                self._scores.clear()
            self._scores[key] = found
        return found

    def _best(self, trust: float, seen: tuple[_Seen, ...]) -> dict[_Seen, float]:
        counted = Counter(seen)
        kinds = np.array([(score, *overall, *here) for score, overall, here in counted])
        count = np.array(list(counted.values()), dtype=np.float64)
        n = kinds[:, 1]
        shape, showings = self._posterior(trust, kinds[:, 0], n, kinds[:, 2], count)
        if self._segments is not None:
            here_n, here_total = kinds[:, 3], np.maximum(kinds[:, 4], 0.0)
            elsewhere = np.maximum(shape - here_total, self._config.strength)
            kept = elsewhere / (1.0 + self._segment_spread**2 * elsewhere)
            showings = (showings - here_n) * kept / elsewhere + here_n
            shape, n = kept + here_total, here_n
        behind = np.maximum((n @ count) / len(seen) / showings, 1.0)
        width = self._config.width * np.sqrt(1.0 + np.log(behind))
        sd = np.minimum(width, 1.0) * np.sqrt(shape) / showings
        best = normal_best(shape / showings, sd, count)
        return dict(zip(counted, best.tolist(), strict=True))

    def _posterior(
        self, trust: float, scores: Floats, n: Floats, total: Floats, count: Floats
    ) -> tuple[Floats, Floats]:
        """Returns shape and rate of each creative's Gamma, those alike being `count` many."""
        # Corrections of fractional rewards may leave a sum a rounding below what is possible.
        total = np.maximum(total, 0.0)
        beyond = _bounded(scores - (scores @ count) / count.sum())
        prior = self._config.strength * np.exp(-trust * beyond)
        level = self._level(prior, n, total, count)
        return self._config.strength + total, prior / level + n

    def _level(self, prior: Floats, n: Floats, total: Floats, count: Floats) -> float:
        """Returns the m that is most probable given all arms, the g_k integrated out.

        There m·d/dm of the log density, 1 + Σc − m/mean − Σ (a + c)·nm / (a/g + nm), which falls
        in m, is 0; by Newton's method on log m.
        """
        mean = self._config.mean
        clicks = 1.0 + float(total @ count)
        shape = (self._config.strength + total) * count
        m = clicks / (1.0 / mean + float(n @ count))
        for _ in range(STEPS):
            part = 1.0 - prior / (prior + n * m)
            pulled = shape * part
            rise = clicks - m / mean - float(pulled.sum())
            fall = m / mean + float(pulled @ (1.0 - part))
            step = min(max(rise / fall, -1.0), 1.0)
            m *= math.exp(step)
            if abs(step) < 1e-7:
                break
        return m


_Seen: TypeAlias = tuple[float, History, History]
"""An action as the pmf sees it: its score, its history, and that in the segment."""

_NOTHING: Final[History] = (0.0, 0.0)


def _cell(segment: str, creative_id: str) -> str:
    return f"{segment}\x00{creative_id}"


def _bounded(scores: Floats) -> Floats:
    return np.minimum(np.maximum(scores, -LARGEST_SCORE), LARGEST_SCORE)


_Unpacked: TypeAlias = tuple[bytes | None, float, float, list[str], bytes | None]


def _unpack(state: bytes | None, plain: bool) -> _Unpacked:
    if state is None:
        return None, 0.0, 0.0, [], None
    try:
        return (*_plain_decoder.decode(state), [], None) if plain else _decoder.decode(state)
    except msgspec.DecodeError as error:
        raise PolicyStateError(f"not the state of a text policy: {error}") from error
