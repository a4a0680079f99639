"""Who is asking: the one word for it that routes, rate limits and the record of acts share.

The guard finds it out once a request and leaves it in the ASGI scope.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from streams.access import SCOPES, Scope

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


class Caller(Struct, frozen=True):
    """Whoever asks: `id` is what acts are recorded and requests are limited by.

    Attributes:
        id: `key:ID`, `jwt:SUBJECT`, or `open` where nothing is asked of anyone.
        scopes: what they may, with all that it includes.
        rate_per_second: how many requests; as the settings say where it is None.
    """

    id: str
    scopes: frozenset[Scope]
    rate_per_second: float | None = None


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
