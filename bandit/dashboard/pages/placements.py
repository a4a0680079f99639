"""Placements at a glance; one of them, and what is winning there; one of its creatives."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bandit.client import ApiError, AsyncClient
from bandit.client.wire import path_of
from bandit.dashboard.render import act, back_to, pages_of
from bandit.dashboard.visit import PATH, page_at, visit_of
from streams.events.fields import whole_number

RANGES: Final = {"hour": "Last hour", "day": "Last day", "month": "Last 30 days"}
GENERIC: Final = "generic"
CHANNELS: Final = {
    "google_rsa": "Google responsive search ad",
    "performance_max": "Google Performance Max",
    "meta": "Meta feed ad",
    "banner": "banner",
    "email": "e-mail in the inbox",
    "push": "push notification",
    "x": "post on X",
    GENERIC: "card: its brief names no channel",
}
_PICTURES: Final = ("image", "picture", "logo")


async def overview(request: Request) -> Response:
    """Placements with what is served; the figures come by the stream."""
    placements = await visit_of(request).client.items("/v1/placements")
    return pages_of(request).show(request, "overview.html", placements=placements)


async def placement(request: Request) -> Response:
    """The placement with its creatives and policies; the figures come by script and stream."""
    client, path = visit_of(request).client, path_of("placements", request.path_params["placement"])
    found = await client.request("GET", path)
    creatives = await client.items(f"{path}/creatives")
    versions = await client.request("GET", f"{path}/policy/versions")
    shown = request.query_params.get("range", "hour")
    return pages_of(request).show(
        request,
        "placement.html",
        placement=found,
        share=is_share(found),
        creatives=creatives,
        waiting=sum(each["status"] in ("proposed", "screened") for each in creatives),
        versions=versions[::-1],
        range=shown if shown in RANGES else "hour",
        ranges=RANGES,
    )


async def set_status(request: Request) -> Response:
    """Pauses a creative, or lets it live again, if nobody changed it since the page was made."""
    visit, name = visit_of(request), request.path_params["placement"]
    creative, status = visit.form.get("creative", ""), visit.form.get("status", "")
    where = ["placements", name]
    if visit.form.get("back") == "creative":
        where += ["creatives", creative]
    told = {"paused": f"{creative} is paused.", "live": f"{creative} is live again."}
    doing = visit.client.set_status(name, creative, status, etag=visit.form.get("etag"))
    return await act(request, doing, page_at(*where), told.get(status, f"{creative} is {status}."))


async def promote(request: Request) -> Response:
    """Gives the placement another policy: a challenger's, or one that is written out."""
    visit, name = visit_of(request), request.path_params["placement"]
    form, page = visit.form, page_at("placements", name)
    change: dict[str, Any] = {"why": form.get("why", "").strip() or "promoted by hand"}
    if challenger := form.get("challenger"):
        change["challenger"] = challenger
    else:
        try:
            change["policy"] = json.loads(form.get("policy", ""))
        except ValueError as error:
            told = f"The policy is no JSON: {error}. Nothing was changed."
            return back_to(request, page, told, refused=True)
    told = "The policy is the placement's; it is served once the log is folded with it."
    doing = visit.client.promote(name, change, etag=form.get("etag"))
    return await act(request, doing, page, told)


async def roll_back(request: Request) -> Response:
    """Gives the placement back a policy that it had."""
    visit, name = visit_of(request), request.path_params["placement"]
    number = visit.form.get("version", "")
    version = whole_number(number)
    told = f"Rolled back to version {number}; it is served once the log is folded with it."
    doing = visit.client.roll_back(name, version, etag=visit.form.get("etag"))
    return await act(request, doing, page_at("placements", name), told)


async def creative(request: Request) -> Response:
    """The creative with its lineage; its figures come by script."""
    client, name = visit_of(request).client, request.path_params["placement"]
    placement = await client.request("GET", path_of("placements", name))
    path = path_of("placements", name, "creatives", request.path_params["creative"])
    found = await client.request("GET", path)
    brief = await _brief(client, name, found["lineage"])
    environment = (brief or {}).get("environment")
    channel = environment.get("channel") if isinstance(environment, dict) else None
    # Only a picture that the creative carries itself: pages load nothing from elsewhere.
    carried = [found["parts"].get(part, "") for part in _PICTURES]
    return pages_of(request).show(
        request,
        "creative.html",
        placement=placement,
        share=is_share(placement),
        creative=found,
        brief=brief,
        channel=channel if channel in CHANNELS else GENERIC,
        channels=CHANNELS,
        picture=next((each for each in carried if each.startswith("data:image/")), None),
        texts={part: text for part, text in found["parts"].items() if part not in _PICTURES},
        gates=_gates(found),
    )


def is_share(placement: dict[str, Any]) -> bool:
    """Returns whether the placement's rewards are from 0 to 1, and so read well as percent.

    >>> is_share({"reward": {"minimum": 0.0, "maximum": 1.0}})
    True
    """
    rule = placement["reward"]
    return bool(rule["minimum"] >= 0 and rule["maximum"] <= 1)


async def _brief(
    client: AsyncClient, placement: str, lineage: dict[str, Any]
) -> dict[str, Any] | None:
    """Returns the brief that it was written from; None for what people wrote, or what is gone."""
    if lineage["generation_id"] is None:
        return None
    try:
        path = path_of("placements", placement, "generations", lineage["generation_id"])
        generation = await client.request("GET", path)
    except ApiError as error:
        if error.status != 404:
            raise
        return None
    brief: dict[str, Any] = generation["brief"]
    return brief


def _gates(creative: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the gates that have a say: by whole text and by part, with what they measured.

    >>> lineage = {"scores": {"duplicate": 0.31}, "parts": {}}
    >>> _gates({"lineage": lineage, "reason": "duplicate: as another", "status": "rejected"})
    [{'part': '', 'gate': 'duplicate', 'score': 0.31, 'passed': False, 'why': 'as another'}]
    """
    code, _, words = (creative["reason"] or "").partition(": ")
    lineage = creative["lineage"]
    measured = [("", lineage["scores"])]
    measured += [(part, each["scores"]) for part, each in lineage["parts"].items()]
    rows = [
        {
            "part": part,
            "gate": gate,
            "score": score,
            "passed": gate != code,
            "why": words if gate == code else "",
        }
        for part, scores in measured
        for gate, score in scores.items()
    ]
    if code and all(row["passed"] for row in rows):
        rows.append({"part": "", "gate": code, "score": None, "passed": False, "why": words})
    return rows


_PLACE: Final = f"{PATH}/placements/{{placement}}"
ROUTES: Final = [
    Route(PATH, overview),
    Route(_PLACE, placement),
    Route(f"{_PLACE}/status", set_status, methods=["POST"]),
    Route(f"{_PLACE}/promote", promote, methods=["POST"]),
    Route(f"{_PLACE}/rollback", roll_back, methods=["POST"]),
    Route(f"{_PLACE}/creatives/{{creative:path}}", creative),
]
