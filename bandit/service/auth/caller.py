"""Who is asking, and which scope each route requires.

The guard finds the caller out once a request and leaves it in the ASGI scope. A route that the
table of scopes does not name is for operators: a new one is closed to the keys that web pages hold
until it is added here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from bandit.errors import RequestError
from streams.events.access import SCOPES, Scope

CALLER: Final = "copyloop.caller"
"""Where the ASGI scope holds it."""
_INCLUDED: Final[dict[Scope, frozenset[Scope]]] = {
    "rank": frozenset({"rank"}),
    "reward": frozenset({"reward"}),
    "view": frozenset({"view"}),
    "review": frozenset({"view", "review"}),
    "operate": frozenset({"view", "review", "operate"}),
    "admin": frozenset(SCOPES),
}
_EVENT: Final = rb"/events/[^/]+/"
_PERSONALIZER: Final = (
    rb"(?:/+placements/+[^/]+)?/+personalizer(?:/+v1\.0|/+v1\.1-preview(?:\.\d+)?)?"
)
_RANK: Final = re.compile(
    rb"/v1/placements/[^/]+/rank"
    rb"|" + _PERSONALIZER + rb"(?:/multislot)?/rank"
    rb"|/ofrep/v1/evaluate/flags(?:/[^/]+)?"
)
_REWARD: Final = re.compile(
    rb"/v1/placements/[^/]+" + _EVENT + rb"(?:reward|outcomes|activate)"
    rb"|/v1/(?:placements/[^/]+/)?outcomes"
    rb"|" + _PERSONALIZER + rb"(?:/multislot)?" + _EVENT + rb"(?:reward|activate)"
    rb"|/ofrep/v1/track"
)
_OPEN: Final = frozenset(
    {"/health", "/health/live", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/ui"}
)
_DASHBOARD: Final = "/ui/"
"""Asks for a key by itself; the API only says where it is."""
DOCS_ASSETS: Final = "/docs/assets"
"""Where the scripts and styles of `/docs` are."""
_ADMIN: Final = ("/v1/keys", "/v1/acts")
_REVIEW: Final = re.compile(r"/v1/placements/[^/]+/creatives/.+/review")


class Caller(Struct, frozen=True):
    """Whoever asks: `id` is what acts are recorded and requests are limited by.

    Attributes:
        id: `key:ID`, `jwt:SUBJECT`, or `open` where nothing is asked of anyone.
        scopes: what they may, with all that it includes.
        rate_per_second: how many requests; as the settings say where it is None.
        placements: patterns of the names of the placements that they may ask about; all if None.
    """

    id: str
    scopes: frozenset[Scope]
    rate_per_second: float | None = None
    placements: tuple[str, ...] | None = None

    def may_ask(self, placement: str) -> bool:
        """Returns whether the caller may ask about the placement of this name."""
        return self.placements is None or _any_of(self.placements).fullmatch(placement) is not None


@lru_cache(maxsize=1024)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Returns what matches the names that one of the patterns does."""
    parts = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile("|".join(parts), re.DOTALL)


def check_placement(caller: Caller, name: str) -> None:
    """Refuses a placement that the caller may not ask about, whether it is there or not.

    Raises:
        RequestError: `placement_not_allowed`.
    """
    if not caller.may_ask(name):
        raise RequestError(
            403,
            "placement_not_allowed",
            f"{caller.id} is for the placements {', '.join(caller.placements or ())}, and not for "
            f"{name!r}",
            target="placement",
        )


OPEN: Final = Caller("open", frozenset(SCOPES))
"""Everyone, where there are no keys: what listens on this machine alone may be asked anything."""


def including(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Returns the scopes with those that they include.

    >>> sorted(including(["rank", "review"]))
    ['rank', 'review', 'view']
    """
    return frozenset().union(*(_INCLUDED[scope] for scope in scopes))


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Returns who asks, from the ASGI scope that the guard has let in.

    Raises:
        KeyError: the request did not come through the guard.
    """
    found: Caller = scope[CALLER]
    return found


def required_scope(method: str, raw_path: bytes, path: str) -> Scope | None:
    """Returns the scope that a request needs, None if anyone may make it.

    Args:
        method: HTTP's.
        raw_path: as it was sent: an escaped slash in a name is none between names.
        path: with its escapes undone, which is what the routes other than the hot ones go by.

    >>> required_scope("POST", b"/v1/placements/home/rank", "/v1/placements/home/rank")
    'rank'
    >>> required_scope("GET", b"/v1/placements", "/v1/placements")
    'view'
    """
    if method == "POST":
        if _RANK.fullmatch(raw_path):
            return "rank"
        if _REWARD.fullmatch(raw_path):
            return "reward"
    return _required_elsewhere(method, path)


def _required_elsewhere(method: str, path: str) -> Scope | None:
    if path in _OPEN or (method in ("GET", "HEAD") and path.startswith((_DASHBOARD, DOCS_ASSETS))):
        return None
    if path.startswith(_ADMIN):
        return "admin"
    if method in ("GET", "HEAD", "OPTIONS"):
        return "view"
    if method == "POST" and _REVIEW.fullmatch(path):
        return "review"
    return "operate"
