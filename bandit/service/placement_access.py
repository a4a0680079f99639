"""Which placement a request is of, for keys that are for some placements only.

A request that is of none is refused to such a key, so a new route is closed to it until the route
has a placement in its path, or is named here and looks at what it is asked by itself.
"""

from __future__ import annotations

import re
from typing import Final

from bandit.errors import RequestError
from bandit.service.asgi import Scope
from bandit.service.auth.caller import Caller, check_placement
from bandit.service.compat.personalizer.router import address_of
from bandit.service.hot import hot_placement

BY_THEMSELVES: Final = frozenset(
    {
        ("GET", "/v1/whoami"),
        ("GET", "/v1/placements"),
        ("GET", "/v1/overview"),
        ("GET", "/v1/live"),
        ("POST", "/v1/outcomes"),
        ("POST", "/ofrep/v1/evaluate/flags"),
        ("POST", "/ofrep/v1/track"),
    }
)
"""Routes of several placements that leave out, or refuse, those that the caller may not ask."""
# As the routes behind read them: one name, of the path with its escapes undone.
_PLACED: Final = re.compile(
    r"/v1/placements/([^/]+)(?:/.*)?|/ofrep/v1/evaluate/flags/(.+)", re.DOTALL
)


def placement_named(raw_path: bytes, path: str) -> str | None:
    """Returns the placement that a request's path names, as the router that answers it does.

    Args:
        raw_path: as it was sent, which Personalizer's and the hot routes go by.
        path: with its escapes undone, which the others go by.

    >>> placement_named(b"/v1/placements/a%2Fb/rank", "/v1/placements/a/b/rank")
    'a/b'
    >>> placement_named(b"/v1/placements/home/creatives", "/v1/placements/home/creatives")
    'home'
    >>> placement_named(b"/v1/keys", "/v1/keys")
    """
    address = address_of(raw_path)
    if address is not None:
        return address.placement
    hot = hot_placement(raw_path)
    if hot is not None:
        return hot
    found = _PLACED.fullmatch(path)
    return None if found is None else found[1] or found[2]


def check_reach(caller: Caller, scope: Scope) -> None:
    """Refuses a request that is not of a placement that the caller may ask.

    Raises:
        RequestError: `placement_not_allowed`.
    """
    if caller.placements is None:
        return
    name = placement_named(scope["raw_path"], scope["path"])
    if name is not None:
        check_placement(caller, name)
    elif (scope["method"], scope["path"]) not in BY_THEMSELVES:
        raise RequestError(
            403,
            "placement_not_allowed",
            f"{caller.id} is for the placements {', '.join(caller.placements)}, and this is not of "
            "one placement",
        )
