"""Which scope each route needs. What is not named here is for operators, never for everyone.

A table in one place can be read and tested whole; a route that somebody adds is closed to the
keys that web pages hold until it is added here.
"""

from __future__ import annotations

import re
from typing import Final

from streams.access import Scope

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
_ADMIN: Final = ("/v1/keys", "/v1/acts")
_REVIEW: Final = re.compile(r"/v1/placements/[^/]+/creatives/.+/review")


def needed(method: str, raw_path: bytes, path: str) -> Scope | None:
    """Returns the scope that a request needs, None if anyone may make it.

    Args:
        method: HTTP's.
        raw_path: as it was sent: an escaped slash in a name is none between names.
        path: with its escapes undone, which is what the routes other than the hot ones go by.

    >>> needed("POST", b"/v1/placements/home/rank", "/v1/placements/home/rank")
    'rank'
    >>> needed("GET", b"/v1/placements", "/v1/placements")
    'view'
    """
    if method == "POST":
        if _RANK.fullmatch(raw_path):
            return "rank"
        if _REWARD.fullmatch(raw_path):
            return "reward"
    return _needed_of_the_rest(method, path)


def _needed_of_the_rest(method: str, path: str) -> Scope | None:
    if path in _OPEN or (method in ("GET", "HEAD") and path.startswith(_DASHBOARD)):
        return None
    if path.startswith(_ADMIN):
        return "admin"
    if method in ("GET", "HEAD", "OPTIONS"):
        return "view"
    if method == "POST" and _REVIEW.fullmatch(path):
        return "review"
    return "operate"
