"""Review: creatives that wait for a person's yes or no, one after the other, by keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bandit.dashboard.api import ApiRefused, named
from bandit.dashboard.render import back_to, pages_of
from bandit.dashboard.visit import PATH, visit_of
from bandit.review import WAITING

REASONS: Final = (
    "claims: not proven",
    "tone: not ours",
    "fidelity: not what the brief says",
    "language: reads badly",
    "duplicate: we have this one",
)
"""Offered where a reason is asked for; any other will do."""
WAS: Final = "was."
PART: Final = "part."
HERE: Final = f"{PATH}/review"


async def show(request: Request) -> Response:
    """Those that wait, oldest first; with `?placement=` of that one alone."""
    visit, wanted = visit_of(request), request.query_params.get("placement")
    waiting = await visit.api.every("creatives", status=list(WAITING))
    placements = sorted({each["placement"] for each in waiting})
    kept = [each for each in waiting if wanted in (None, "", each["placement"])]
    return pages_of(request).show(
        request,
        "review.html",
        waiting=sorted(kept, key=lambda each: each["timestamp_ms"]),
        placements=placements,
        wanted=wanted or "",
        reasons=REASONS,
    )


async def judge(request: Request) -> Response:
    """Approves, with the text as it was or as it was edited, or rejects for a reason."""
    visit = visit_of(request)
    form = visit.form
    placement, creative = form.get("placement", ""), form.get("creative", "")
    body = _verdict(form)
    try:
        await visit.api.request(
            "POST",
            named("placements", placement, "creatives", creative, "review"),
            body,
            etag=form.get("etag"),
        )
    except ApiRefused as error:
        if error.status == 401:
            raise
        words = f"{creative} was left as it is: {error}"
        if error.code == "precondition_failed":
            words = f"{creative} was changed by somebody else meanwhile; read it again."
        return back_to(request, _here(form, at=creative), words, refused=True)
    done = {"approve": "approved", "edit": "edited and approved", "reject": "rejected"}
    told = f"{creative} is {done[body['verdict']]}."
    return back_to(request, _here(form, at=form.get("following", "")), told)


def _verdict(form: Mapping[str, str]) -> dict[str, Any]:
    """Returns the review that a form stands for: text that differs from what it was is an edit.

    >>> _verdict({"verdict": "approve", "part.headline": "New", "was.headline": "Old"})
    {'verdict': 'edit', 'parts': {'headline': 'New'}}
    >>> _verdict({"verdict": "reject", "reason": "tone: loud"})
    {'verdict': 'reject', 'reason': 'tone: loud'}
    """
    if form.get("verdict") == "reject":
        return {"verdict": "reject", "reason": form.get("reason", "").strip()}
    # browsers send lines ended by CR and LF whatever they were
    parts = {
        name.removeprefix(PART): text.replace("\r\n", "\n")
        for name, text in form.items()
        if name.startswith(PART)
    }
    was = {
        name.removeprefix(WAS): text.replace("\r\n", "\n")
        for name, text in form.items()
        if name.startswith(WAS)
    }
    return {"verdict": "approve"} if parts == was else {"verdict": "edit", "parts": parts}


def _here(form: Mapping[str, str], *, at: str) -> str:
    query = {"placement": form.get("only", ""), "at": at}
    told = urlencode({name: value for name, value in query.items() if value})
    return f"{HERE}?{told}" if told else HERE


ROUTES: Final = [Route(HERE, show), Route(HERE, judge, methods=["POST"])]
