"""The command that serves the dashboard."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

import typer

from bandit.errors import SettingError
from streams.command_line import LogFormat

MAX_PORT: Final = 65_535
NEEDED: Final = ("jinja2", "plotly")


def dashboard(
    api: Annotated[
        str, typer.Option(help="Where the API is.", show_default=True)
    ] = "http://127.0.0.1:8080",
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0: any.")] = 8081,
    log_format: LogFormat = "text",
) -> None:
    """Serve the dashboard's pages, until stopped; they are at /ui.

    It asks the API over HTTP with the key that people sign in with, and keeps nothing itself. TLS
    is set as for the API, by COPYLOOP_TLS_CERT and its like. With its own `--api`, it may run on
    another machine.
    """
    check_installed()
    from bandit.dashboard.server import serve_dashboard
    from bandit.service.settings import load_settings
    from streams.log_lines import log_to_stderr

    log_to_stderr("ui", log_format)
    serve_dashboard(load_settings({"host": host, "port": port}), api)


class Beside(NamedTuple):
    """How the dashboard is started beside an API: its port, and the options of its command."""

    port: int
    options: list[str]


def beside(host: str, api_port: int, ui_port: int | None, *, tls: bool, log_format: str) -> Beside:
    """Returns how to start the dashboard of an API that `copyloop up` starts.

    Args:
        host: the address that both listen on.
        api_port: the API's.
        ui_port: the dashboard's; the one after the API's if None.
        tls: whether the API speaks HTTPS.
        log_format: of its lines.

    Raises:
        SettingError: a package is missing, or nobody knows where the API will be.
    """
    check_installed()
    if api_port == 0:
        raise SettingError(
            "--port 0 leaves it to the system where the API is, and the dashboard has to know; "
            "name a port, or leave the dashboard out with --no-ui"
        )
    port = api_port + 1 if ui_port is None else ui_port
    if port == api_port or port > MAX_PORT:
        raise SettingError(f"--ui-port is {port}; expected one beside the API's {api_port}")
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where the API is asked then
    here = everywhere.get(host, host)
    here = f"[{here}]" if ":" in here else here
    scheme = "https" if tls else "http"
    api = ["--api", f"{scheme}://{here}:{api_port}"]
    own = ["--host", host, "--port", str(port), "--log-format", log_format]
    return Beside(port, api + own)


def check_installed() -> None:
    """Says what to install, before anything is started.

    Raises:
        SettingError: a package of the extra `ui` is missing.
    """
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SettingError(
            f"the dashboard wants {' and '.join(missing)}: pip install 'copyloop[ui]', "
            "or leave it out with --no-ui"
        )
