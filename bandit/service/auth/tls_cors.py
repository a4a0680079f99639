"""TLS and CORS settings, and the refusal to listen on a network while there are no keys."""

from __future__ import annotations

import ipaddress
import re
import ssl
from typing import Any, Final

from starlette.middleware.cors import CORSMiddleware

from bandit.errors import RequestError, SettingError
from bandit.service.asgi import AsgiApp, Receive, Scope, Send, check_head, send_error
from bandit.service.auth.keys import KeyRing
from bandit.service.settings import Settings

HEADERS: Final = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
)
"""On every answer; uvicorn adds them, which costs nothing."""
STRICT: Final = ("strict-transport-security", "max-age=31536000")
ASKED_WITH: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Ocp-Apim-Subscription-Key",
    "Traceparent",
    "X-API-Key",
    "X-Request-Id",
    "X-Reward-Token",
)
EXPOSED: Final = ("ETag", "Location", "Retry-After", "X-Request-Id")
PREFLIGHT_SECONDS: Final = 600
_ORIGIN: Final = re.compile(r"https?://[^/*]+")


def for_origins(app: AsgiApp, origins: str) -> AsgiApp:
    """Returns the application as the pages of these origins may ask it; `*` is all of them.

    Args:
        app: what is asked.
        origins: such as `https://shop.example`, with commas between; empty: no other's.

    Raises:
        SettingError: one is no origin.
    """
    named = origins_of(origins)
    if not named:
        return app
    for origin in named:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise SettingError(
                f"COPYLOOP_CORS_ORIGINS has {origin!r}; expected such as https://shop.example, "
                "without a path, or *"
            )
    return _bounded(
        CORSMiddleware(
            app,
            allow_origins=named,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=ASKED_WITH,
            expose_headers=EXPOSED,
            max_age=PREFLIGHT_SECONDS,
        )
    )


def _bounded(app: AsgiApp) -> AsgiApp:
    """Returns the application without the requests whose head is too large to be looked through."""

    async def bounded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                check_head(scope, sum(len(value) for _, value in scope["headers"]))
            except RequestError as error:
                await send_error(send, error)
                return
        await app(scope, receive, send)

    return bounded


def origins_of(setting: str) -> list[str]:
    """Returns the origins that a setting names.

    >>> origins_of("https://shop.example, *")
    ['https://shop.example', '*']
    """
    return [origin.strip() for origin in setting.split(",") if origin.strip()]


def edge_options(settings: Settings) -> dict[str, Any]:
    """Returns what uvicorn is told of headers and TLS.

    Raises:
        SettingError: one of certificate and key is missing, or a file is.
    """
    files = {name: getattr(settings, name) for name in ("tls_cert", "tls_key", "tls_client_ca")}
    if not any(files.values()):
        return {"headers": list(HEADERS)}
    for name, path in files.items():
        setting = f"COPYLOOP_{name.upper()}"
        if path is None and name != "tls_client_ca":
            raise SettingError(f"{setting} is not set; TLS wants a certificate and a key")
        if path is not None and not path.is_file():
            raise SettingError(f"{setting} is {str(path)!r}, and there is no such file")
    options: dict[str, Any] = {
        "headers": [*HEADERS, STRICT],
        "ssl_certfile": settings.tls_cert,
        "ssl_keyfile": settings.tls_key,
    }
    if settings.tls_key_password.is_set:
        options["ssl_keyfile_password"] = settings.tls_key_password.reveal()
    if settings.tls_client_ca is not None:
        options |= {"ssl_ca_certs": str(settings.tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches the address; a name other than localhost may not.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(settings: Settings, ring: KeyRing) -> None:
    """Refuses to listen on a network with nothing asked of anyone.

    Raises:
        SettingError: the address is a public one, and there is no key that opens anything.
    """
    asks = ring.has_keys or settings.jwt_jwks_url
    if is_loopback(settings.host) or asks or settings.open_to_network:
        return
    raise SettingError(
        f"COPYLOOP_HOST is {settings.host!r}, which others can reach, and there are no keys: "
        "anyone could show what they like and teach the policy what they like. Make one with "
        "`copyloop keys create`, listen on 127.0.0.1, or set COPYLOOP_OPEN_TO_NETWORK=true if "
        "something in front keeps strangers out"
    )
