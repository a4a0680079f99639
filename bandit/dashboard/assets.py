"""The files that browsers keep: our stylesheet and scripts, and Plotly's JavaScript.

Every address has the content's hash in it, so a browser may keep it for a year and still has the
new one after an upgrade.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from bandit.dashboard.visit import PATH
from bandit.errors import SettingError

KEPT: Final = "public, max-age=31536000, immutable"
FOLDER: Final = Path(__file__).parent / "static"


class Assets:
    """The served files and their addresses: `plotly` is the address of the drawing library."""

    def __init__(self) -> None:
        script = _plotly().read_bytes()
        self.plotly = f"{PATH}/plotly-{_hash(script)}.js"
        self.static = f"{PATH}/static/{_hash(*(f.read_bytes() for f in sorted(FOLDER.iterdir())))}"
        self.routes = [
            Route(self.plotly, _compressed(script)),
            Mount(self.static, _Kept(directory=FOLDER)),
        ]


class _Kept(StaticFiles):
    """Files that a browser may keep."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["cache-control"] = KEPT
        return response


def _plotly() -> Path:
    """Returns the script in the installed package, which need not be imported for that."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise SettingError("plotly is not installed; pip install 'copyloop[ui]', or --no-ui")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


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
