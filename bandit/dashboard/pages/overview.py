"""The first page: every placement at a glance."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bandit.dashboard.render import pages_of
from bandit.dashboard.visit import PATH, visit_of


async def show(request: Request) -> Response:
    """Placements with what is served; the figures come by the stream."""
    placements = await visit_of(request).api.every("placements")
    return pages_of(request).show(request, "overview.html", placements=placements)


def is_share(placement: dict[str, Any]) -> bool:
    """Returns whether the placement's rewards are from 0 to 1, and so read well as percent.

    >>> is_share({"reward": {"minimum": 0.0, "maximum": 1.0}})
    True
    """
    rule = placement["reward"]
    return bool(rule["minimum"] >= 0 and rule["maximum"] <= 1)


ROUTES: Final = [Route(PATH, show)]
