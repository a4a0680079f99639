"""Which creatives may be shown: caps and audiences, traffic caps on groups, and shortlists.

All of it is pure: the same catalogue, context and event id give the same creatives.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta, Raw
from numpy.typing import NDArray

from bandit.errors import RequestError
from bandit.policy import Pmf
from streams.catalogue.state import Catalogue
from streams.events import Action, Context, Creative, Decision, Placement
from streams.events.creatives import CANARY_SHARE
from streams.events.placement import Caps, Seen, Shown, TrafficCap

DAY_MS: Final = 86_400_000
MOST_SEEN: Final = 10
"""From so many times on, the feature that says how often a creative was seen stays at 1."""

SeenCounts: TypeAlias = dict[str, Annotated[int, Meta(ge=0)]]

_object = msgspec.json.Decoder(dict[str, Raw])
_seen = msgspec.json.Decoder(SeenCounts)


class Eligibility:
    """What keeps a placement's creatives from being chosen, as the log told it last.

    Args:
        caps: of the creatives that have their own.
        default: the caps of all others.
        seen: where a context says what its user has seen.
        shown: how often each creative was shown.
    """

    def __init__(
        self, caps: Mapping[str, Caps], default: Caps, seen: Seen, shown: Mapping[str, Shown]
    ) -> None:
        self._caps = caps
        self._default = default
        self._seen = seen
        self._reads_seen = seen.feature or any(
            each.per_user is not None for each in (default, *caps.values())
        )
        self._spent: set[str] = set()
        self._spent_on: dict[str, int] = {}
        for creative_id, times in shown.items():
            own = caps.get(creative_id, default)
            if own.total is not None and times.total >= own.total:
                self._spent.add(creative_id)
            elif own.per_day is not None and times.today >= own.per_day:
                self._spent_on[creative_id] = times.day
        self._kept: tuple[tuple[Action, ...], set[str], tuple[Action, ...]] = ((), set(), ())

    def after(self, shown: Mapping[str, Shown]) -> Eligibility:
        """Returns the same constraints once so much was shown."""
        later = Eligibility(self._caps, self._default, self._seen, shown)
        later._kept = self._kept
        return later

    def allowed(
        self, context: Context, actions: tuple[Action, ...], now_ms: int
    ) -> tuple[Action, ...]:
        """Returns what `left` does, at least one action.

        Raises:
            RequestError: `all_creatives_capped`; `seen_invalid`, as `left`.
        """
        left = self.left(context, actions, now_ms)
        if not left:
            raise RequestError(
                409,
                "all_creatives_capped",
                f"each of {len(actions)} creatives has reached a cap; raise the caps, add a "
                "creative, or show something of your own",
            )
        return left

    def left(
        self, context: Context, actions: tuple[Action, ...], now_ms: int
    ) -> tuple[Action, ...]:
        """Returns the actions that may be chosen now, in their order.

        Where the placement asks for it, an action that the user has seen n times gets the feature
        `seen` in the namespace `fatigue`: n / 10, at most 1.

        Raises:
            RequestError: `seen_invalid`: what the context says was seen is no object of counts.
        """
        seen = self._seen_by(context) if self._reads_seen else {}
        capped = self._capped(seen, now_ms // DAY_MS)
        if capped:
            actions = self._without(actions, capped)
        if seen and self._seen.feature:
            return tuple(_tired(action, seen.get(action.id, 0)) for action in actions)
        return actions

    def _without(self, actions: tuple[Action, ...], capped: set[str]) -> tuple[Action, ...]:
        # Policies know the live creatives again by the tuple that holds them.
        known, barred, kept = self._kept
        if known is not actions or barred != capped:
            kept = tuple(action for action in actions if action.id not in capped)
            self._kept = actions, capped, kept
        return kept

    def _capped(self, seen: SeenCounts, day: int) -> set[str]:
        capped = self._spent | {each for each, on in self._spent_on.items() if on == day}
        for creative_id, times in seen.items():
            per_user = self._caps.get(creative_id, self._default).per_user
            if per_user is not None and times >= per_user:
                capped.add(creative_id)
        return capped

    def _seen_by(self, context: Context) -> SeenCounts:
        """Returns how often the context says that its user saw each creative."""
        path = self._seen.path
        try:
            for key in path.split("."):
                found = _object.decode(context).get(key)
                if found is None or bytes(found) == b"null":
                    return {}
                context = found
            return _seen.decode(context)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RequestError(
                422,
                "seen_invalid",
                f"{path} is {bytes(context)[:40].decode(errors='replace')}; expected an object "
                f"of how often the user saw each creative, such as {{'warm-feet': 2}}: {error}",
                target=f"context.{path}",
            ) from error


def constraints_of(
    placement: Placement, creatives: Mapping[str, Creative], shown: Mapping[str, Shown]
) -> Eligibility | None:
    """Returns what the caps of placement and creatives come to, None where nothing has any."""
    seen = placement.seen or Seen()
    caps = {each: found.caps for each, found in creatives.items() if found.caps}
    if not (caps or placement.caps or seen.feature):
        return None
    return Eligibility(caps, placement.caps or Caps(), seen, shown)


def count_shown(shown: dict[str, Shown], decision: Decision) -> None:
    """Counts one more showing of the chosen creative, on the decision's day."""
    creative_id, day = decision.action.id, decision.timestamp_ms // DAY_MS
    before = shown.get(creative_id, Shown(0, day, 0))
    if day > before.day:
        shown[creative_id] = Shown(before.total + 1, day, 1)
    else:
        # A decision of a day that is over counts in the total alone.
        today = before.today + (day == before.day)
        shown[creative_id] = Shown(before.total + 1, before.day, today)


def _tired(action: Action, times: int) -> Action:
    """Returns the action with the feature that says how often its user saw it, if ever."""
    if not times:
        return action
    features = bytes(action.features).rstrip()[:-1].rstrip()
    comma = b"" if features.endswith(b"{") else b","
    share = msgspec.json.encode(min(times, MOST_SEEN) / MOST_SEEN)
    return Action(action.id, Raw(features + comma + b'"fatigue":{"seen":' + share + b"}}"))


def limited(pmf: Pmf, under: NDArray[np.bool_], share: float) -> Pmf:
    """Returns the pmf, scaled so that the actions `under` a cap keep to `share` together.

    Where all actions are, or the others have nothing to be scaled up, it stays as it is.

    Args:
        pmf: shape (n_actions,).
        under: which actions the cap is on, shape (n_actions,), of booleans.
        share: the most that they get together.

    >>> limited(np.array([0.2, 0.4, 0.4]), np.array([False, True, True]), 0.1).tolist()
    [0.9, 0.05, 0.05]
    """
    # exact sums, so that the order of the actions does not show in a rounding
    taken, left = math.fsum(pmf[under]), math.fsum(pmf[~under])
    if taken <= share or left <= 0.0:
        return pmf
    scaled = np.where(under, pmf * (share / taken), pmf)
    scaled[~under] *= (1.0 - share) / left
    return scaled / math.fsum(scaled)


def under_traffic_cap(pmf: Pmf, actions: Sequence[Action], cap: TrafficCap | None) -> Pmf:
    """Returns the pmf that the cap leaves of a policy's, shape (n_actions,)."""
    if cap is None:
        return pmf
    below = frozenset(cap.actions)
    return limited(pmf, np.array([action.id in below for action in actions]), cap.share)


def traffic_cap_over(actions: Sequence[Action], cap: TrafficCap | None) -> TrafficCap | None:
    """Returns the cap on those of the actions that it names; None if it names none of them."""
    if cap is None:
        return None
    below = frozenset(cap.actions)
    found = tuple(action.id for action in actions if action.id in below)
    return TrafficCap(cap.share, found) if found else None


def canary_traffic_cap(catalogue: Catalogue, live: Sequence[Creative]) -> TrafficCap | None:
    """Returns the cap on those live creatives that the canary wrote; None if none is."""
    canary = catalogue.canary
    if canary is None:
        return None
    ids = tuple(creative.id for creative in live if creative.written_by(canary.id))
    share = canary.canary.share if canary.canary else CANARY_SHARE
    return TrafficCap(share, ids) if ids else None


_SEED_BYTES: Final = 16
_UNIT: Final = 2.0**-53


class WeightedSample(NamedTuple):
    """Who was let in: `indices` in rising order, and `until`, when the first of the rest came."""

    indices: NDArray[np.intp]
    until: float


class WeightedSampler:
    """What is drawn from: the weights of all creatives, for one policy version.

    A creative comes at the times of a Poisson process of its weight's rate, and the first `size`
    different ones are let in: that is weighted sampling without replacement, the law of Gumbel
    top-n (Efraimidis & Spirakis 2006), at a cost that does not grow with their number. Given when
    all others come, a creative is let in if it comes before the last of those that would be: with
    probability 1 − exp(−weight · until) (Cohen & Kaplan 2007, rank conditioning). So dividing by
    that is unbiased, exactly.

    Args:
        pmf: what the policy gives each creative, shape (n,), for no context.
        floor: the share that is spread evenly, in (0, 1].

    >>> sampler = WeightedSampler(np.array([0.9, 0.1, 0.0, 0.0]), floor=0.2)
    >>> sample = sampler.draw(seed_of("event-13", "version@7"), 2)
    >>> sample.indices.tolist(), round(sampler.inclusion(0, sample.until), 2)
    ([0, 3], 0.64)
    """

    def __init__(self, pmf: Pmf, floor: float) -> None:
        self._floor = floor
        self._weights = (1.0 - floor) * pmf + floor / len(pmf)
        self._cumulative = self._weights.cumsum()

    def draw(self, seed: int, size: int, barred: NDArray[np.bool_] | None = None) -> WeightedSample:
        """Returns who is let in: `size` of those that are not barred, who must be more.

        The same seed gives the same, with any version of numpy: only its raw bits are used.
        """
        bits = np.random.PCG64(seed)
        picks = math.ceil(2.0 * (size + 1) / self._floor)
        times = _exponentials(bits, picks).cumsum() / self._cumulative[-1]
        found = self._cumulative.searchsorted(_uniforms(bits, picks) * self._cumulative[-1])
        came, at = np.unique(np.minimum(found, len(self._weights) - 1), return_index=True)
        when = times[at]
        if barred is not None:
            let = ~barred[came]
            came, when = came[let], when[let]
        if len(came) <= size:
            came, when = self._all(bits, came, when, float(times[-1]), barred)
        order = when.argsort(kind="stable")[: size + 1]
        return WeightedSample(np.sort(came[order[:size]]), float(when[order[size]]))

    def inclusion(self, index: int, until: float) -> float:
        """Returns how probable it was that this one of those let in was, given all others."""
        return -math.expm1(-float(self._weights[index]) * until)

    def _all(
        self,
        bits: np.random.PCG64,
        came: NDArray[np.intp],
        when: NDArray[np.float64],
        since: float,
        barred: NDArray[np.bool_] | None,
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Returns all that are not barred, with when they come: the rest, after `since`.

        A Poisson process forgets, so who did not come until then comes as if it began there.
        """
        left = np.ones(len(self._weights), dtype=np.bool_) if barred is None else ~barred
        left[came] = False
        rest = np.flatnonzero(left)
        later = since + _exponentials(bits, len(rest)) / self._weights[rest]
        return np.concatenate([came, rest]), np.concatenate([when, later])


def seed_of(event_id: str, policy_version: str) -> int:
    """Returns the seed by which a decision's shortlist is drawn."""
    text = f"shortlist\n{policy_version}\n{event_id}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=_SEED_BYTES).digest(), "big")


def digest(actions: Sequence[Action]) -> str:
    """Returns a hash of the actions, with their features and in their order."""
    return hashlib.blake2b(msgspec.json.encode(actions), digest_size=8).hexdigest()


def _uniforms(bits: np.random.PCG64, n: int) -> NDArray[np.float64]:
    """Returns n numbers in (0, 1)."""
    return ((bits.random_raw(n) >> np.uint64(11)).astype(np.float64) + 0.5) * _UNIT


def _exponentials(bits: np.random.PCG64, n: int) -> NDArray[np.float64]:
    return -np.log(_uniforms(bits, n))
