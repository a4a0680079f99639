"""Callers with a JSON Web Token of somebody else's making: who signs them is known by a JWKS.

Only signatures by a private key are taken, by the algorithms in the settings and no other, so
that nobody can sign with what everyone may read. A token that was right is remembered until it
ends; what it says is not asked about again, so its life should be short.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from bandit.errors import RequestError, SettingError
from bandit.service.auth.caller import Caller, including
from bandit.service.auth.tls_cors import is_loopback
from bandit.service.settings import Settings
from streams.events.access import SCOPES, Scope

logger = logging.getLogger(__name__)

ALGORITHMS: Final = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)
FRESH_SECONDS: Final = 300.0
"""After this the keys are asked for again, with the first token that comes."""
TRUSTED_SECONDS: Final = 3600.0
"""How long they are still trusted while that fails."""
RETRY_SECONDS: Final = 10.0
"""How often they are asked for at most, so that made-up key ids are no lever."""
TIMEOUT_SECONDS: Final = 5.0
LEEWAY_SECONDS: Final = 30.0
MOST_REMEMBERED: Final = 10_000
LONGEST_TOKEN: Final = 8192


class Tokens:
    """The tokens of one issuer, for one audience; used from one event loop.

    Raises:
        SettingError: a setting is missing or off, or PyJWT is not installed.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._jwt = _pyjwt()
        _check_url(settings.jwt_jwks_url)
        self._issuer = _required("jwt_issuer", settings.jwt_issuer)
        self._audience = _required("jwt_audience", settings.jwt_audience)
        self._algorithms = _algorithms(settings.jwt_algorithms)
        self._claim = settings.jwt_scope_claim
        self._placements_claim = settings.jwt_placements_claim
        self._clock = clock
        self._client = self._jwt.PyJWKClient(
            settings.jwt_jwks_url, cache_jwk_set=False, timeout=TIMEOUT_SECONDS
        )
        self._keys: dict[str | None, Any] = {}
        self._read_at = float("-inf")
        self._asked_at = float("-inf")
        self._turn = asyncio.Lock()
        self._remembered: dict[bytes, tuple[Caller, float]] = {}

    async def caller(self, presented: bytes) -> Caller | None:
        """Returns whom a token names, None if it is no token at all.

        Raises:
            RequestError: 401 `unauthenticated`: the token is not right, and why; 503
                `jwks_unavailable`: nobody can tell, for the keys cannot be read.
        """
        if presented.count(b".") != 2 or len(presented) > LONGEST_TOKEN:
            return None
        known = self._remembered.get(presented)
        if known is not None and known[1] > self._clock():
            return known[0]
        try:
            claims = await self._claims(presented.decode())
        except (self._jwt.PyJWTError, UnicodeDecodeError) as error:
            raise RequestError(401, "unauthenticated", f"the token is refused: {error}") from error
        if not str(claims["sub"]).strip():
            raise RequestError(401, "unauthenticated", "the token's sub is empty: it names nobody")
        scopes = including(_scopes(claims.get(self._claim)))
        own = self._placements(claims)
        caller = Caller(f"jwt:{claims['sub']}", scopes, placements=own)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[presented] = caller, float(claims["exp"])
        return caller

    def _placements(self, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Returns the patterns of the placements that a token is for, None if for all of them.

        Raises:
            RequestError: 401 `unauthenticated`: the claim is there, and neither a list of texts
                nor words; nobody can tell what it was to hold back.
        """
        if self._placements_claim not in claims:
            return None
        said = claims[self._placements_claim]
        patterns = said.split() if isinstance(said, str) else said
        if not isinstance(patterns, list) or not all(isinstance(each, str) for each in patterns):
            message = f"the token's {self._placements_claim} is no list of texts, nor words"
            raise RequestError(401, "unauthenticated", message)
        return tuple(dict.fromkeys(patterns))

    async def _claims(self, token: str) -> dict[str, Any]:
        header = self._jwt.get_unverified_header(token)
        if header.get("alg") not in self._algorithms:
            expected = ", ".join(self._algorithms)
            raise self._jwt.InvalidAlgorithmError(f"alg is {header.get('alg')!r}; {expected}")
        claims: dict[str, Any] = self._jwt.decode(
            token,
            await self._key(header.get("kid")),
            algorithms=self._algorithms,
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return claims

    async def _key(self, kid: str | None) -> Any:
        async with self._turn:
            if kid not in self._keys or self._clock() - self._read_at > FRESH_SECONDS:
                await self._read_keys()
        if self._clock() - self._read_at > TRUSTED_SECONDS:
            raise RequestError(503, "jwks_unavailable", "the keys of tokens cannot be read now")
        key = self._keys.get(kid)
        if key is None:
            raise self._jwt.InvalidKeyError(f"its key {kid!r} is none of the issuer's")
        return key

    async def _read_keys(self) -> None:
        now = self._clock()
        if now - self._asked_at < RETRY_SECONDS:
            return
        self._asked_at = now
        try:
            found = await asyncio.to_thread(self._client.get_jwk_set, refresh=True)
        except (self._jwt.PyJWTError, ValueError) as error:  # ValueError: it is no JSON
            logger.warning("the keys of tokens cannot be read: %s", error)
            return
        self._keys = {key.key_id: key for key in found.keys}
        self._read_at = now
        # What was signed by a key that was withdrawn is not remembered any longer than that.
        self._remembered.clear()


def _scopes(claim: object) -> Iterable[Scope]:
    """Returns our scopes among those of a claim: words, or a list of them."""
    words = claim.split() if isinstance(claim, str) else claim
    named = set(map(str, words)) if isinstance(words, list) else set()
    return [scope for scope in SCOPES if scope in named]


def _pyjwt() -> Any:
    try:
        import cryptography  # noqa: F401  # PyJWT verifies signatures by it alone
        import jwt
    except ImportError as error:
        raise SettingError(
            f"COPYLOOP_JWT_JWKS_URL is set, and {error.name} is not installed; "
            "pip install 'copyloop[jwt]'"
        ) from error
    return jwt


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    local = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (parts.scheme == "https" and parts.hostname) and not local:
        raise SettingError(
            f"COPYLOOP_JWT_JWKS_URL is {url!r}; expected https://…, for whoever can change what "
            "is read there can sign what they like"
        )


def _required(name: str, value: str) -> str:
    if not value:
        raise SettingError(
            f"COPYLOOP_{name.upper()} is not set, and COPYLOOP_JWT_JWKS_URL is: without it, a "
            "token that was meant for others would open this service"
        )
    return value


def _algorithms(text: str) -> list[str]:
    named = [word.strip() for word in text.split(",") if word.strip()]
    if not named or not ALGORITHMS.issuperset(named):
        raise SettingError(
            f"COPYLOOP_JWT_ALGORITHMS is {text!r}; some of {', '.join(sorted(ALGORITHMS))}, "
            "with commas between"
        )
    return named
