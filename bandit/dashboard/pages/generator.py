"""The generator: its versions, what each was trained on and how it was judged, and which speaks."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bandit.dashboard.api import ApiRefused, named
from bandit.dashboard.render import back_to, pages_of
from bandit.dashboard.visit import PATH, visit_of

HERE: Final = f"{PATH}/generator"
ACTS: Final = {"promote": "is live", "reject": "is rejected"}
FACTS: Final = ("method", "model", "base", "dataset", "rows", "cpu_seconds", "seconds", "seed")
"""What of a manifest is told first, where it has it."""


async def show(request: Request) -> Response:
    """All versions, newest first, with the one that writes now on top."""
    versions = await visit_of(request).api.every("generator/versions")
    for each in versions:
        each["facts"] = facts_of(each["manifest"])
    champion = next((each for each in versions if each["status"] == "live"), None)
    return pages_of(request).show(request, "generator.html", versions=versions, champion=champion)


async def act(request: Request) -> Response:
    """Promotes or rejects a version, or takes the champion back."""
    visit = visit_of(request)
    form = visit.form
    what, version = form.get("act", ""), form.get("version", "")
    path, told = named("generator", "versions", version, what), f"{version} {ACTS.get(what, '')}."
    if what == "rollback":
        path, told = "generator/rollback", f"{version} is rolled back."
    elif what not in ACTS:
        return back_to(request, HERE, f"There is no act {what!r}.", refused=True)
    why = form.get("why", "").strip()
    try:
        await visit.api.request(
            "POST", path, {"why": why} if why else {}, etag=form.get("etag") or None
        )
    except ApiRefused as error:
        if error.status == 401:
            raise
        return back_to(request, HERE, f"{version} is as it was: {error}", refused=True)
    return back_to(request, HERE, told)


def facts_of(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns what a manifest says in plain values: the best known names first.

    >>> facts_of({"seed": 3, "config": {"method": "dpo", "dpo": {"beta": 1}}, "loss": 0.51234})
    [('method', 'dpo'), ('seed', '3'), ('loss', '0.5123')]
    """
    config, rows, metrics = (_object(manifest, name) for name in ("config", "rows", "metrics"))
    # Of the configuration what tells versions apart; a manifest on disk has the rest.
    inner = {name: value for name, value in config.items() if name in FACTS}
    inner |= {"started_from": config["parent"]} if config.get("parent") else {}
    inner |= {f"rows {name}": count for name, count in rows.items()} | metrics
    plain = {
        name: value
        for name, value in (inner | manifest).items()
        if isinstance(value, str | int | float)
    }
    names = [*(name for name in FACTS if name in plain), *(n for n in plain if n not in FACTS)]
    return [(name, _told(plain[name])) for name in names]


def _object(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    found = manifest.get(name)
    return found if isinstance(found, dict) else {}


def _told(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


ROUTES: Final = [Route(HERE, show), Route(HERE, act, methods=["POST"])]
