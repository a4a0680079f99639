"""The guard: lets a request in to the application, or says no.

It stands before everything else, the hot routes too, as a raw ASGI function: who asks, whether
they may, and not too often. A caller who was here before costs it a few looks into dicts.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from bandit.errors import RequestError
from bandit.service.asgi import (
    AsgiApp,
    Message,
    Receive,
    Scope,
    Send,
    before_start,
    check_head,
    send_error,
)
from bandit.service.auth.caller import CALLER, OPEN, Caller, required_scope
from bandit.service.auth.keys import KeyRing
from bandit.service.auth.local_callers import LocalCallers
from bandit.service.auth.tokens import Tokens
from bandit.service.errors import REQUEST_ID, begin_request

MOST_BUCKETS: Final = 10_000
BYTES_PER_TOKEN: Final = 16_384
"""A request costs one token, and one more for every so many bytes of its body."""


class Rates:
    """The buckets of all callers.

    A request is let in for one token. What its body costs beyond that is taken as it is read, and
    may leave a debt that has to be worked off before the next request.

    Args:
        per_second: tokens that a caller gets who has no rate of its own; 0: any number.
        burst_seconds: a bucket holds what comes in this time, and a single token at least.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        per_second: float,
        burst_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._burst_seconds = burst_seconds
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_seconds(self, caller: Caller) -> float:
        """Returns 0 and takes a token, or how long it is until there is one."""
        own = caller.rate_per_second
        rate = self._per_second if own is None else own
        if not rate:
            return 0.0
        now, most = self._clock(), max(rate * self._burst_seconds, 1.0)
        tokens, at = self._buckets.get(caller.id, (most, now))
        tokens = min(tokens + (now - at) * rate, most)
        if tokens < 1.0:
            return (1.0 - tokens) / rate
        if len(self._buckets) >= MOST_BUCKETS and caller.id not in self._buckets:
            self._forget_the_idle(now)
        self._buckets[caller.id] = (tokens - 1.0, now)
        return 0.0

    @property
    def limited(self) -> bool:
        """Whether there is a caller whom anything limits."""
        return bool(self._buckets)

    def charging(self, receive: Receive, caller: Caller) -> Receive:
        """Returns a `receive` that takes tokens of the caller for the bytes that it reads."""
        if caller.id not in self._buckets:  # nothing limits it
            return receive
        read = 0

        async def charged() -> Message:
            nonlocal read
            message = await receive()
            before, read = read, read + len(message.get("body", b""))
            if cost := read // BYTES_PER_TOKEN - before // BYTES_PER_TOKEN:
                tokens, at = self._buckets.get(caller.id, (0.0, self._clock()))
                self._buckets[caller.id] = (tokens - cost, at)
            return message

        return charged

    def _forget_the_idle(self, now: float) -> None:
        """Drops who has not asked for longer than a bucket takes to fill, or else the oldest."""
        recent = now - max(self._burst_seconds, 1.0)
        kept = {name: bucket for name, bucket in self._buckets.items() if bucket[1] >= recent}
        if len(kept) >= MOST_BUCKETS:
            newest = sorted(kept.items(), key=lambda item: item[1][1])
            kept = dict(newest[MOST_BUCKETS // 2 :])
        self._buckets = kept


_KEY_HEADERS: Final = frozenset({b"x-api-key", b"ocp-apim-subscription-key"})
_BEARER: Final = b"bearer "


class Guard(Collector):
    """The application, for those who may ask it.

    Args:
        app: what is guarded.
        ring: the keys.
        rates: how often each may ask.
        tokens: whoever else signs for callers; None if nobody does.
        local: looks at who asks while there are no keys; None if anyone may, from anywhere.
        reach: refuses what is not of the placements that a caller may ask about; without it,
            such a caller may ask nothing.
    """

    def __init__(
        self,
        app: AsgiApp,
        ring: KeyRing,
        rates: Rates,
        tokens: Tokens | None = None,
        local: LocalCallers | None = None,
        reach: Callable[[Caller, Scope], None] | None = None,
    ) -> None:
        self._app = app
        self._ring = ring
        self._rates = rates
        self._tokens = tokens
        self._local = local
        self._reach = reach or _nothing
        self._refused: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on with who asks in its scope, or answers it (ASGI 3)."""
        if scope["type"] == "http":
            presented, given, header_bytes = _credentials(scope["headers"])
            if begin_request(given) is not None and given is not None:
                send = _answering(send, given)
            try:
                check_head(scope, header_bytes)
                caller = scope[CALLER] = await self._admitted(scope, presented)
                if self._rates.limited:
                    receive = self._rates.charging(receive, caller)
            except RequestError as error:
                self._refused[error.code] += 1
                await send_error(send, error)
                return
        await self._app(scope, receive, send)

    def collect(self) -> Iterator[Metric]:
        """Yields what was refused here, for Prometheus."""
        refused = CounterMetricFamily(
            "copyloop_guard_refused", "Requests that were not let in, by why.", labels=("code",)
        )
        for code, count in self._refused.items():
            refused.add_metric((code,), count)
        yield refused

    async def _admitted(self, scope: Scope, presented: bytes | None) -> Caller:
        need = required_scope(scope["method"], scope["raw_path"], scope["path"])
        if need is None:
            return OPEN
        caller = OPEN
        if self._ring.has_keys or self._tokens is not None:
            caller = await self._caller(presented)
        elif self._local is not None:
            self._local.check(scope["headers"])
        if wait_seconds := self._rates.wait_seconds(caller):
            raise RequestError(
                429,
                "rate_limited",
                f"{caller.id} asks too often; the next request may come in {wait_seconds:.3g} s",
                retry_after_seconds=wait_seconds,
            )
        if need not in caller.scopes:
            raise RequestError(
                403,
                "scope_missing",
                f"this needs the scope {need!r}; {caller.id} has "
                f"{', '.join(sorted(caller.scopes)) or 'none'}",
            )
        self._reach(caller, scope)
        return caller

    async def _caller(self, presented: bytes | None) -> Caller:
        if presented is None:
            raise _unauthenticated("no key came with the request")
        caller = self._ring.caller(presented)
        if caller is None and self._tokens is not None:
            caller = await self._tokens.caller(presented)
        if caller is None:
            raise _unauthenticated("the key is unknown, revoked, or its time is over")
        return caller


def _nothing(caller: Caller, scope: Scope) -> None:
    if caller.placements is not None:
        raise RequestError(403, "placement_not_allowed", "no placement can be told apart here")


def _credentials(
    headers: Iterable[tuple[bytes, bytes]],
) -> tuple[bytes | None, bytes | None, int]:
    """Returns the last credential among the headers, the request's id, and their values' bytes."""
    presented = given = None
    header_bytes = 0
    for name, value in headers:
        header_bytes += len(value)
        if name in _KEY_HEADERS:
            presented = value
        elif name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            presented = value[len(_BEARER) :].strip()
        elif name == REQUEST_ID:
            given = value
    return presented, given, header_bytes


def _answering(send: Send, request_id: bytes) -> Send:
    """Returns a `send` that adds the id that the request came with to the answer."""

    def add(start: Message) -> None:
        start["headers"] = [*start["headers"], (REQUEST_ID, request_id)]

    return before_start(send, add)


def _unauthenticated(what: str) -> RequestError:
    return RequestError(
        401,
        "unauthenticated",
        f"{what}; send one as X-API-Key, Authorization: Bearer or Ocp-Apim-Subscription-Key "
        "(`copyloop keys create` makes one)",
    )
