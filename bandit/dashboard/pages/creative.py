"""A creative: how it will look, where it came from, what the gates said, and how it does."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bandit.dashboard.api import Api, ApiRefused, named
from bandit.dashboard.pages.overview import is_share
from bandit.dashboard.render import pages_of
from bandit.dashboard.visit import PATH, visit_of

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


async def show(request: Request) -> Response:
    """The creative with its lineage; its figures come by script."""
    api, name = visit_of(request).api, request.path_params["placement"]
    placement = await api.get(named("placements", name))
    path = named("placements", name, "creatives", request.path_params["creative"])
    creative = await api.get(path)
    brief = await _brief(api, name, creative["lineage"])
    environment = (brief or {}).get("environment")
    channel = environment.get("channel") if isinstance(environment, dict) else None
    return pages_of(request).show(
        request,
        "creative.html",
        placement=placement,
        share=is_share(placement),
        creative=creative,
        brief=brief,
        channel=channel if channel in CHANNELS else GENERIC,
        channels=CHANNELS,
        picture=_picture(creative["parts"]),
        texts={part: text for part, text in creative["parts"].items() if part not in _PICTURES},
        gates=_gates(creative),
    )


async def _brief(api: Api, placement: str, lineage: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the brief that it was written from; None for what people wrote, or what is gone."""
    if lineage["generation_id"] is None:
        return None
    try:
        path = named("placements", placement, "generations", lineage["generation_id"])
        generation = await api.get(path)
    except ApiRefused as error:
        if error.status != 404:
            raise
        return None
    brief: dict[str, Any] = generation["brief"]
    return brief


def _picture(parts: dict[str, str]) -> str | None:
    """Returns its picture, if it carries one itself: pages load nothing from elsewhere."""
    for part in _PICTURES:
        if parts.get(part, "").startswith("data:image/"):
            return parts[part]
    return None


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


ROUTES: Final = [Route(f"{PATH}/placements/{{placement}}/creatives/{{creative:path}}", show)]
