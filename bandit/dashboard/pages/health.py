"""Health: if the API is ready, lag, dead letters, the doctor's findings, and one event's story."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bandit.client import ApiError
from bandit.client.wire import path_of
from bandit.dashboard.render import back_to, pages_of
from bandit.dashboard.visit import PATH, visit_of

HERE: Final = f"{PATH}/health"
DEAD_LETTERS: Final = 50
FAR_BEHIND: Final = 10_000
"""From how many records on a group's lag is shown as a worry, as the doctor does."""


async def show(request: Request) -> Response:
    """All of it, by four questions to the API at once; then the event that is asked for."""
    client, reason = visit_of(request).client, request.query_params.get("reason") or None
    ready, lag, dead_letters, doctor = await asyncio.gather(
        client.answer("/health"),
        client.request("GET", "/v1/lag"),
        client.request("GET", "/v1/dead-letters", query={"limit": DEAD_LETTERS, "reason": reason}),
        client.request("GET", "/v1/doctor"),
    )
    asked = request.query_params.get("event", "").strip()
    story, unknown = None, None
    if asked:
        try:
            story = await client.request("GET", path_of("decisions", asked))
        except ApiError as error:
            unknown = error.message
    findings = sorted(doctor["findings"], key=lambda each: _WORST.index(each["state"]))
    return pages_of(request).show(
        request,
        "health.html",
        ready=ready.json(),
        is_ready=ready.is_success,
        groups=lag["groups"],
        far=FAR_BEHIND,
        letters=dead_letters["items"],
        more=dead_letters["next"] is not None,
        reason=reason,
        findings=findings,
        event=asked,
        story=story,
        unknown=unknown,
    )


async def replay(request: Request) -> Response:
    """Sends a dead letter again, as it was or corrected."""
    visit = visit_of(request)
    letter, value = visit.form.get("letter", ""), visit.form.get("value")
    body: dict[str, Any] = {} if value in (None, visit.form.get("was")) else {"value": value}
    try:
        path = path_of("dead-letters", letter, "replay")
        sent = await visit.client.request("POST", path, body)
    except ApiError as error:
        return back_to(request, HERE, f"{letter} was not sent: {error.message}", refused=True)
    place = sent["sent"][0]
    where = f"{place['topic']}/{place['partition']}@{place['offset']}"
    return back_to(request, HERE, f"{letter} was sent again, to {where}.")


_WORST: Final = ("failure", "warning", "ok")
ROUTES: Final = [Route(HERE, show), Route(HERE, replay, methods=["POST"])]
