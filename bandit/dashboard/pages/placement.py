"""A placement: what is winning, why, and how sure that is; and the acts on it."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bandit.dashboard.api import ApiRefused, named
from bandit.dashboard.pages.overview import is_share
from bandit.dashboard.render import back_to, pages_of
from bandit.dashboard.visit import PATH, visit_of

RANGES: Final = {"hour": "Last hour", "day": "Last day", "month": "Last 30 days"}


async def show(request: Request) -> Response:
    """The placement with its creatives and policies; the figures come by script and stream."""
    api, name = visit_of(request).api, request.path_params["placement"]
    placement = await api.get(named("placements", name))
    creatives = await api.every(f"{named('placements', name)}/creatives")
    versions = await api.get(f"{named('placements', name)}/policy/versions")
    shown = request.query_params.get("range", "hour")
    return pages_of(request).show(
        request,
        "placement.html",
        placement=placement,
        share=is_share(placement),
        creatives=creatives,
        waiting=sum(each["status"] in ("proposed", "screened") for each in creatives),
        versions=versions[::-1],
        range=shown if shown in RANGES else "hour",
        ranges=RANGES,
    )


async def set_status(request: Request) -> Response:
    """Pauses a creative, or lets it live again, if nobody changed it since the page was made."""
    form, name = visit_of(request).form, request.path_params["placement"]
    creative, status = form.get("creative", ""), form.get("status", "")
    back = form.get("back", "")
    place = f"{PATH}/{named('placements', name)}"
    if back == "creative":
        place += f"/{named('creatives', creative)}"
    done = {"paused": f"{creative} is paused.", "live": f"{creative} is live again."}
    return await _act(
        request,
        place,
        done.get(status, f"{creative} is {status}."),
        "PATCH",
        named("placements", name, "creatives", creative),
        {"status": status},
        etag=form.get("etag"),
    )


async def promote(request: Request) -> Response:
    """Gives the placement another policy: a challenger's, or one that is written out."""
    form, name = visit_of(request).form, request.path_params["placement"]
    place = f"{PATH}/{named('placements', name)}"
    body: dict[str, Any] = {"why": form.get("why", "").strip() or "promoted by hand"}
    if challenger := form.get("challenger"):
        body["challenger"] = challenger
    else:
        try:
            body["policy"] = json.loads(form.get("policy", ""))
        except ValueError as error:
            told = f"The policy is no JSON: {error}. Nothing was changed."
            return back_to(request, place, told, refused=True)
    told = "The policy is the placement's; it is served once the log is folded with it."
    path = f"{named('placements', name)}/policy/promote"
    return await _act(request, place, told, "POST", path, body, etag=form.get("etag"))


async def roll_back(request: Request) -> Response:
    """Gives the placement back a policy that it had."""
    form, name = visit_of(request).form, request.path_params["placement"]
    number = form.get("version", "")
    body = {"version": int(number)} if number.isdecimal() else {}
    return await _act(
        request,
        f"{PATH}/{named('placements', name)}",
        f"Rolled back to version {number}; it is served once the log is folded with it.",
        "POST",
        f"{named('placements', name)}/policy/rollback",
        body,
        etag=form.get("etag"),
    )


async def _act(
    request: Request,
    place: str,
    told: str,
    method: str,
    path: str,
    body: Any,
    *,
    etag: str | None,
) -> Response:
    """Has the API do it, and returns the way back to the page, which says what came of it."""
    try:
        await visit_of(request).api.request(method, path, body, etag=etag)
    except ApiRefused as error:
        return back_to(request, place, f"Nothing was changed: {error}", refused=True)
    return back_to(request, place, told)


_PLACE: Final = f"{PATH}/placements/{{placement}}"
ROUTES: Final = [
    Route(_PLACE, show),
    Route(f"{_PLACE}/status", set_status, methods=["POST"]),
    Route(f"{_PLACE}/promote", promote, methods=["POST"]),
    Route(f"{_PLACE}/rollback", roll_back, methods=["POST"]),
]
