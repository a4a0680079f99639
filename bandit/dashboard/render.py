"""From figures to pages: the templates, and how numbers and times are written."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bandit.dashboard.assets import Assets
from bandit.dashboard.visit import TOLD, forget, keep, visit_of
from bandit.dashboard.words import WORDS

FOLDER: Final = Path(__file__).parent
NOTHING: Final = "–"


class Pages:
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
        told = request.cookies.get(TOLD)
        page = self._environment.get_template(template).render(
            visit=visit_of(request),
            path=request.url.path,
            told=json.loads(unquote(told)) if told else None,
            **values,
        )
        response = HTMLResponse(page, status)
        if told:
            forget(response, request, TOLD)
        return response


def pages_of(request: Request) -> Pages:
    """Returns what makes the pages."""
    found: Pages = request.app.state.pages
    return found


def back_to(request: Request, path: str, told: str, *, refused: bool = False) -> Response:
    """Returns the way to a page that will say, once, what came of a form.

    Args:
        request: brought the form.
        path: of the page, with its names quoted.
        told: what it will say.
        refused: whether that is bad news.
    """
    response = RedirectResponse(path, 303)
    words = quote(json.dumps({"text": told[:1000], "refused": refused}))
    keep(response, request, TOLD, words, max_age=60)
    return response


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
