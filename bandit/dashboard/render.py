"""Templates and static files, the definition of each figure, and how numbers and times look."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from bandit.client import ApiError
from bandit.dashboard.visit import PATH, TOLD, forget, keep, told_of, visit_of
from bandit.errors import SettingError

FOLDER: Final = Path(__file__).parent
STATIC: Final = FOLDER / "static"
KEPT: Final = "public, max-age=31536000, immutable"
NOTHING: Final = "–"
WORDS: Final = {
    "placement": "A named spot where one creative is chosen. It owns its creatives, its policy, "
    "its reward and its exploration.",
    "creative": "A candidate: its text, its material, and its lineage.",
    "traffic": "How many decisions were counted: each is one showing, joined with its outcomes.",
    "rate": "The mean reward of a showing. The band is Wilson's, which covers at 95 % for one "
    "look, not for stopping when it pleases. Where the placement names a unit, it counts users.",
    "reward": "What a placement's outcomes add up to, by its reward rule.",
    "lift_uniform": "By what share more a decision earns than choosing uniformly among the same "
    "creatives would, estimated from the logged propensities. Below are the intervals of this lift "
    "and of the difference in rewards. Each holds at all times with 95 %: you may look as often as "
    "you like.",
    "lift_baseline": "By what share more a decision earns than always showing the baseline "
    "creative would, since the present policy is served. Below are the intervals of this lift and "
    "of the difference in rewards. Each holds at all times with 95 %.",
    "health": "Whether the figures are read to the log's end, and when the last decision was "
    "counted.",
    "share": "The part of the last minute's decisions that the policy gave a creative: its mean "
    "propensity.",
    "posterior": "What the policy believes a creative to earn: the mean, and the middle 95 %.",
    "pmf": "The policy's propensities over all actions; they add up to 1.",
    "propensity": "The logged probability of the action that was chosen.",
    "exploration": "The mean propensity that was not on the likeliest creative: what is spent on "
    "finding out.",
    "policy": "What makes a pmf of a context and its actions.",
    "policy_version": "The hash of the policy's bytes, and the offset it was folded to.",
    "policies": "The policies that the placement has had. A change is one event in the catalogue, "
    "with why.",
    "segments": "Which creative earns the most where the context has this value, by its mean; it "
    "is sure if its band is clear of the band of every other live creative.",
    "delay": "How long after its decision an outcome came: the part of those that came at all, by "
    "time.",
    "fatigue": "What a showing earns by how often its user saw the creative before, where the "
    "context says so.",
    "drift": "Whether what a creative earns changed over time. You may look as often as you like: "
    "false alarms are one in a hundred over all looks at it.",
    "status": "proposed → screened → live → paused → retired; or rejected, with a reason.",
    "lineage": "Where a creative came from: generator version, brief, parent, prompt, seed.",
    "champion": "The generator version whose creatives go live: the one that writes now.",
    "version": "The generator, fine-tuned once: its adapter and manifest never change, its status "
    "does.",
    "gate": "The rules that a version has to pass before any of its creatives is shown.",
    "canary": "A version's creatives beside the champion's, with a cap on their traffic, until the "
    "intervals of what they earn tell them apart.",
    "evaluation": "What other policies would have earned with this placement's log, estimated from "
    "the logged propensities.",
    "judged": "What a decision would have earned under the policy, by SNIPS, with its 95 % "
    "interval.",
    "over_logged": "By how much that is more than what was shown did earn, in rewards a "
    "decision, on the same decisions.",
    "verdict": "Whether the log can tell at all: it cannot where the policy would have shown what "
    "the log hardly ever did.",
    "ready": "Whether the API takes requests: it follows the catalogue, and appends go somewhere.",
    "lag": "How many records a process has not read, or has read but not saved, yet. One that does "
    "not move while others write is down.",
    "doctor": "What `copyloop doctor` finds: settings aside, the same, as the API sees it.",
    "dead_letter": "A record that nobody could use, as it was, with the reason. Sent again, it "
    "goes to its own topic; its id keeps it from counting twice.",
    "event": "The decisions of one event, its outcomes, and why each outcome counts or does not: "
    "late, without a decision, sent twice, or of a kind that the reward rule does not have.",
    "gates": "What each gate of the screening measured.",
}
"""The definition of every figure, shown on request."""


class Assets:
    """The files that browsers keep, and their addresses: `plotly` is the drawing library's.

    Every address has the content's hash in it, so a browser may keep a file for a year and still
    has the new one after an upgrade.
    """

    def __init__(self) -> None:
        spec = find_spec("plotly")  # which need not be imported for its script
        if spec is None or spec.origin is None:
            raise SettingError("plotly is not installed; pip install 'copyloop[ui]', or --no-ui")
        script = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()
        self.plotly = f"{PATH}/plotly-{_hash(script)}.js"
        self.static = f"{PATH}/static/{_hash(*(f.read_bytes() for f in sorted(STATIC.iterdir())))}"
        self.routes = [
            Route(self.plotly, _compressed(script)),
            Mount(self.static, _Kept(directory=STATIC)),
        ]


class _Kept(StaticFiles):
    """Files that a browser may keep."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["cache-control"] = KEPT
        return response


def _compressed(script: bytes) -> Callable[[Request], Awaitable[Response]]:
    packed = gzip.compress(script, mtime=0)

    async def serve(request: Request) -> Response:
        headers = {"cache-control": KEPT, "vary": "accept-encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(script, headers=headers, media_type="text/javascript")
        headers["content-encoding"] = "gzip"
        return Response(packed, headers=headers, media_type="text/javascript")

    return serve


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


class PageRenderer:
    """Makes pages of the templates.

    Args:
        navigation: the path below `/ui` and the name of each page that is always in reach.
        assets: where the stylesheet, the scripts and the drawing library are.
        api_url: the API's address, for what people type themselves.
    """

    def __init__(self, navigation: list[tuple[str, str]], assets: Assets, api_url: str) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "amount": amount,
            "count": count,
            "when": when,
            "segment": lambda name: quote(name, safe=""),
        }
        self._environment.globals |= {
            "words": WORDS,
            "fresh": itertools.count().__next__,
            "navigation": navigation,
            "assets": assets,
            "api_url": api_url,
        }

    def show(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """Returns the page that a template makes of the values, and of who visits."""
        told = told_of(request)
        page = self._environment.get_template(template).render(
            visit=visit_of(request),
            path=request.url.path,
            told=told,
            **values,
        )
        response = HTMLResponse(page, status)
        if TOLD in request.cookies:
            forget(response, request, TOLD)
        return response


def pages_of(request: Request) -> PageRenderer:
    """Returns what makes the pages."""
    found: PageRenderer = request.app.state.pages
    return found


def back_to(request: Request, path: str, told: str, *, refused: bool = False) -> Response:
    """Redirects from a form to the page at `path`, which says once what came of the form."""
    response = RedirectResponse(path, 303)
    words = quote(json.dumps({"text": told[:1000], "refused": refused}))
    keep(response, request, TOLD, words, max_age=60)
    return response


async def act(
    request: Request,
    doing: Awaitable[Any],
    path: str,
    told: str,
    *,
    refused: str = "Nothing was changed",
) -> Response:
    """Awaits the call that a form asks for, and redirects to a page that says what came of it.

    The page says `told`, or if the API refuses `refused` and the API's reason.
    """
    try:
        await doing
    except ApiError as error:
        return back_to(request, path, f"{refused}: {error.message}", refused=True)
    return back_to(request, path, told)


def amount(value: float | None, share: bool = False) -> str:
    """Returns a reward or a rate as text; a share as percent.

    >>> amount(0.03517, True), amount(12.3456), amount(None)
    ('3.52 %', '12.35', '–')
    """
    if value is None:
        return NOTHING
    return f"{100 * value:.2f} %" if share else f"{value:.4g}"


def count(value: float | None) -> str:
    """Returns a count with thousands apart.

    >>> count(12345)
    '12,345'
    """
    return NOTHING if value is None else f"{value:,.0f}"


def when(at_ms: int | None) -> str:
    """Returns a moment in UTC, as ISO 8601 to the second; pages show it in local time.

    >>> when(1764000000000)
    '2025-11-24T16:00:00Z'
    """
    if at_ms is None:
        return NOTHING
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
