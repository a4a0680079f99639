"""Caps as constraints on the pmf: a creative that was shown often enough has no share in it.

What is capped is left out before the policy is asked, so the pmf that is logged is the policy's
own over what could be chosen, exact as ever, and an audit derives it from the decision alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Raw

from bandit.errors import RequestError
from streams.caps import Caps, Seen, Shown
from streams.events import Action, Context, Creative, Decision, Placement

DAY_MS: Final = 86_400_000
MOST_SEEN: Final = 10
"""From so many times on, the feature that says how often a creative was seen stays at 1."""

SeenCounts: TypeAlias = dict[str, Annotated[int, Meta(ge=0)]]

_object = msgspec.json.Decoder(dict[str, Raw])
_seen = msgspec.json.Decoder(SeenCounts)


class Constraints:
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

    def after(self, shown: Mapping[str, Shown]) -> Constraints:
        """Returns the same constraints once so much was shown."""
        later = Constraints(self._caps, self._default, self._seen, shown)
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
) -> Constraints | None:
    """Returns what the caps of placement and creatives come to, None where nothing has any."""
    seen = placement.seen or Seen()
    caps = {each: found.caps for each, found in creatives.items() if found.caps}
    if not (caps or placement.caps or seen.feature):
        return None
    return Constraints(caps, placement.caps or Caps(), seen, shown)


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
