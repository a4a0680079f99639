"""The generator: its creatives that wait for a person's yes or no, and its versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bandit.client import ApiError
from bandit.client.wire import path_of
from bandit.dashboard.render import act, back_to, pages_of
from bandit.dashboard.visit import PATH, visit_of
from bandit.lifecycle import WAITING

HERE: Final = f"{PATH}/generator"
REVIEW: Final = f"{PATH}/review"
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
ACTS: Final = {"promote": "is live", "reject": "is rejected"}
FACTS: Final = ("method", "model", "base", "dataset", "rows", "cpu_seconds", "seconds", "seed")
"""The entries of a manifest that a page shows first."""


async def waiting(request: Request) -> Response:
    """Those that wait, oldest first; with `?placement=` of that one alone."""
    visit, wanted = visit_of(request), request.query_params.get("placement")
    found = await visit.client.items("/v1/creatives", {"status": list(WAITING)})
    placements = sorted({each["placement"] for each in found})
    kept = [each for each in found if wanted in (None, "", each["placement"])]
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
        await visit.client.review(placement, creative, body, etag=form.get("etag"))
    except ApiError as error:
        words = f"{creative} was left as it is: {error.message}"
        if error.code == "precondition_failed":
            words = f"{creative} was changed by somebody else meanwhile; read it again."
        return back_to(request, _review(form, at=creative), words, refused=True)
    done = {"approve": "approved", "edit": "edited and approved", "reject": "rejected"}
    told = f"{creative} is {done[body['verdict']]}."
    return back_to(request, _review(form, at=form.get("following", "")), told)


async def versions(request: Request) -> Response:
    """All versions, newest first, with the one that writes now on top."""
    found = await visit_of(request).client.items("/v1/generator/versions")
    for each in found:
        each["facts"] = facts_of(each["manifest"])
    champion = next((each for each in found if each["status"] == "live"), None)
    return pages_of(request).show(request, "generator.html", versions=found, champion=champion)


async def change(request: Request) -> Response:
    """Promotes or rejects a version, or takes the champion back."""
    visit = visit_of(request)
    form = visit.form
    what, version = form.get("act", ""), form.get("version", "")
    path = path_of("generator", "versions", version, what)
    told = f"{version} {ACTS.get(what, '')}."
    if what == "rollback":
        path, told = "/v1/generator/rollback", f"{version} is rolled back."
    elif what not in ACTS:
        return back_to(request, HERE, f"There is no act {what!r}.", refused=True)
    why = form.get("why", "").strip()
    doing = visit.client.request(
        "POST", path, {"why": why} if why else {}, etag=form.get("etag") or None
    )
    return await act(request, doing, HERE, told, refused=f"{version} is as it was")


def facts_of(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns what a manifest says in plain values: the best known names first.

    >>> facts_of({"seed": 3, "config": {"method": "dpo", "dpo": {"beta": 1}}, "loss": 0.51234})
    [('method', 'dpo'), ('seed', '3'), ('loss', '0.5123')]
    """
    config, rows, metrics = (
        found if isinstance(found := manifest.get(name), dict) else {}
        for name in ("config", "rows", "metrics")
    )
    # Of the configuration what tells versions apart; a manifest on disk has the rest.
    inner = {name: value for name, value in config.items() if name in FACTS}
    inner |= {"started_from": config["parent"]} if config.get("parent") else {}
    inner |= {f"rows {name}": count for name, count in rows.items()} | metrics
    plain = {
        name: f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in (inner | manifest).items()
        if isinstance(value, str | int | float)
    }
    names = [*(name for name in FACTS if name in plain), *(n for n in plain if n not in FACTS)]
    return [(name, plain[name]) for name in names]


def _verdict(form: Mapping[str, str]) -> dict[str, Any]:
    """Returns the review that a form stands for: text that differs from what it was is an edit.

    >>> _verdict({"verdict": "approve", "part.headline": "New", "was.headline": "Old"})
    {'verdict': 'edit', 'parts': {'headline': 'New'}}
    >>> _verdict({"verdict": "reject", "reason": "tone: loud"})
    {'verdict': 'reject', 'reason': 'tone: loud'}
    """
    if form.get("verdict") == "reject":
        return {"verdict": "reject", "reason": form.get("reason", "").strip()}
    parts, was = (
        {name.removeprefix(kind): text for name, text in form.items() if name.startswith(kind)}
        for kind in (PART, WAS)
    )
    return {"verdict": "approve"} if parts == was else {"verdict": "edit", "parts": parts}


def _review(form: Mapping[str, str], *, at: str) -> str:
    query = {"placement": form.get("only", ""), "at": at}
    told = urlencode({name: value for name, value in query.items() if value})
    return f"{REVIEW}?{told}" if told else REVIEW


ROUTES: Final = [
    Route(REVIEW, waiting),
    Route(REVIEW, judge, methods=["POST"]),
    Route(HERE, versions),
    Route(HERE, change, methods=["POST"]),
]
