"""While nothing is asked of anyone: who reaches this machine from elsewhere, by a browser on it.

A page elsewhere can have its own name point to this machine, and can send what needs no leave. Its
requests say so in `Host` and `Origin`, which no script can set.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from bandit.errors import RequestError
from bandit.service.auth.tls_cors import is_loopback, origins_of

_WAY_OUT = (
    "make a key with `copyloop keys create`, or set COPYLOOP_OPEN_TO_NETWORK=true if something in "
    "front keeps strangers out"
)


class LocalCallers:
    """Refuses requests that pages elsewhere had a browser send.

    Args:
        origins: whose pages may ask, as the settings name them.
    """

    def __init__(self, origins: str) -> None:
        self._origins = frozenset(origins_of(origins))

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Refuses a request for another host, or from a page of another that is not named.

        Raises:
            RequestError: `host_refused` or `origin_refused`.
        """
        for name, value in headers:
            if name == b"host" and not _is_local(b"//" + value):
                raise RequestError(
                    403,
                    "host_refused",
                    f"this is asked as {value.decode('latin-1')!r}, and nothing is asked of anyone "
                    f"here; ask it as localhost, {_WAY_OUT}",
                    target="Host",
                )
            if name == b"origin" and not self._may_ask(value):
                raise RequestError(
                    403,
                    "origin_refused",
                    f"a page of {value.decode('latin-1')!r} asks, and nothing is asked of anyone "
                    f"here; name it in COPYLOOP_CORS_ORIGINS, or {_WAY_OUT}",
                    target="Origin",
                )

    def _may_ask(self, origin: bytes) -> bool:
        named = origin.decode("latin-1") in self._origins or "*" in self._origins
        return named or _is_local(origin)


@lru_cache(maxsize=256)
def _is_local(address: bytes) -> bool:
    """Returns whether a URL is of this machine, by an address of its own or as localhost."""
    try:
        parts = urlsplit(address.decode("ascii"))
        name, _port = parts.hostname or "", parts.port  # a port that is no number raises
        return parts.username is None and is_loopback(name)
    except ValueError:
        return False
