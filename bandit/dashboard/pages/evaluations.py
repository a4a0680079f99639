"""Evaluations: what other policies would have earned with a placement, asked for and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bandit.client import ApiError
from bandit.client.wire import path_of
from bandit.dashboard.pages.placements import is_share
from bandit.dashboard.render import act, back_to, pages_of
from bandit.dashboard.visit import PATH, Visit, page_at, visit_of
from streams.events.fields import whole_number

HERE: Final = f"{PATH}/evaluations"
KNOWN: Final = (
    "adaptive",
    "text_thompson",
    "thompson",
    "top_two",
    "discounted_thompson",
    "epsilon_greedy",
)
"""Policies that are offered by their names, with default parameters."""
RANGES: Final = {"": "all there is", "86400": "the last day", "604800": "the last 7 days"}


async def show(request: Request) -> Response:
    """A placement's evaluations, and the form that starts one."""
    client, wanted = visit_of(request).client, request.query_params.get("placement")
    placements = [each["name"] for each in await client.items("/v1/placements")]
    name = wanted or next(iter(placements), None)
    found: list[Any] = []
    challengers: list[str] = []
    if name is not None:
        found = await client.items(path_of("placements", name, "evaluations"))
        placement = await client.request("GET", path_of("placements", name))
        challengers = list(placement["challengers"] or {})
    return pages_of(request).show(
        request,
        "evaluations.html",
        placements=placements,
        name=name,
        evaluations=found,
        known=KNOWN,
        challengers=challengers,
        ranges=RANGES,
    )


async def start(request: Request) -> Response:
    """Has a placement's log judged."""
    visit = visit_of(request)
    form, name = visit.form, visit.form.get("placement", "")
    back = f"{HERE}?placement={quote(name, safe='')}"
    try:
        body = await _asked(visit, name, form)
        path = path_of("placements", name, "evaluations")
        made = await visit.client.request("POST", path, body)
    except ValueError as error:
        return back_to(request, back, str(error), refused=True)
    except ApiError as error:
        return back_to(request, back, f"Nothing was started: {error.message}", refused=True)
    return back_to(request, page_at("evaluations", name, made["id"]), "It is being judged.")


async def read(request: Request) -> Response:
    """One evaluation."""
    client, name = visit_of(request).client, request.path_params["placement"]
    path = path_of("placements", name, "evaluations", request.path_params["evaluation"])
    found = await client.request("GET", path)
    placement = await client.request("GET", path_of("placements", name))
    totals = [each["total"] for each in found["policies"]]
    ends = [t[end] for t in totals for end in ("low", "value", "high") if t[end] is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    return pages_of(request).show(
        request,
        "evaluation.html",
        found=found,
        source=path.removeprefix("/v1/"),
        share=is_share(placement),
        low=low,
        width=(high - low) or 1.0,
    )


async def remove(request: Request) -> Response:
    """Removes an evaluation."""
    name, evaluation = request.path_params["placement"], request.path_params["evaluation"]
    back = f"{HERE}?placement={quote(name, safe='')}"
    path = path_of("placements", name, "evaluations", evaluation)
    doing = visit_of(request).client.request("DELETE", path)
    return await act(
        request, doing, back, "The evaluation is removed.", refused="It is still there"
    )


async def _asked(visit: Visit, name: str, form: Mapping[str, str]) -> dict[str, Any]:
    """Returns the body of the request."""
    wanted = [each for each in KNOWN if form.get(f"known.{each}")]
    policies = [{"name": each, "policy": {"name": each}} for each in wanted]
    placement = await visit.client.request("GET", path_of("placements", name))
    for challenger, spec in (placement["challengers"] or {}).items():
        if form.get(f"challenger.{challenger}"):
            policies.append({"name": challenger, "policy": spec})
    own = form.get("own", "").strip()
    if own:
        try:
            spec = json.loads(own)
        except ValueError as error:
            raise ValueError(f"Your policy is no JSON: {error}") from error
        policies.append({"name": form.get("own_name", "").strip() or "mine", "policy": spec})
    body: dict[str, Any] = {"name": form.get("name", "").strip(), "policies": policies}
    seconds = whole_number(form.get("seconds", ""))
    if seconds is not None:
        now_ms = (await visit.client.request("GET", "/v1/lag"))["looked_ms"]
        body["since_ms"] = max(now_ms - 1000 * seconds, 0)
    return body


_ONE: Final = f"{HERE}/{{placement}}/{{evaluation}}"
ROUTES: Final = [
    Route(HERE, show),
    Route(HERE, start, methods=["POST"]),
    Route(_ONE, read),
    Route(_ONE, remove, methods=["POST"]),
]
