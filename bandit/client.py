"""A small client of the policy query API, on the standard library alone.

One keep-alive connection a client, so one client a thread. It is what the demo and the
benchmarks speak, and enough for a service that has no HTTP client of its own.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from bandit.errors import BanditError


class ApiError(BanditError):
    """The API refused the request: `status` is HTTP's, `code` the API's own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class Client:
    """Talks to one copyloop API, such as `Client("http://127.0.0.1:8080")`."""

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = kind(parts.netloc, timeout=timeout_seconds)

    def rank(
        self,
        placement: str,
        context: Mapping[str, Any],
        *,
        actions: Sequence[Mapping[str, Any]] | None = None,
        event_id: str | None = None,
        deferred: bool = False,
        slots: Sequence[Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Returns the decision: `event_id`, the chosen `action`, the `pmf`, `policy_version`.

        With `slots`, such as `[{"id": "top"}, {"id": "side", "excluded": ["a"]}]`, the answer has
        a list `slots` in their order, each with an `action` and a `pmf` of its own.

        Raises:
            ApiError: the request was refused; `code` says why.
            OSError: the API could not be reached.
        """
        body: dict[str, Any] = {"context": context}
        if actions is not None:
            body["actions"] = actions
        if event_id is not None:
            body["event_id"] = event_id
        if deferred:
            body["deferred"] = True
        if slots is not None:
            body["slots"] = slots
        answer: dict[str, Any] = self.request("POST", f"{_placement(placement)}/rank", body)
        return answer

    def outcome(
        self, placement: str, event_id: str, kind: str, value: float = 1.0, *, slot: int = 0
    ) -> None:
        """Says that something of this kind followed the decision, or that of this slot."""
        body = {"kind": kind, "value": value, "slot": slot}
        self.request("POST", f"{_event(placement, event_id)}/outcomes", body)

    def reward(self, placement: str, event_id: str, value: float, *, slot: int = 0) -> None:
        """Says what the decision earned, in the placement's range of rewards."""
        body = {"value": value, "slot": slot}
        self.request("POST", f"{_event(placement, event_id)}/reward", body)

    def activate(
        self, placement: str, event_id: str, *, slots: Sequence[int] | None = None
    ) -> None:
        """Says that a deferred decision was shown after all: all of its slots, or just these."""
        body = None if slots is None else {"slots": list(slots)}
        self.request("POST", f"{_event(placement, event_id)}/activate", body)

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Returns the decoded answer of any route, None where it has no body.

        A connection that the server closed while idle is opened once more for an idempotent
        request; a POST is not sent twice.
        """
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        try:
            response = self._send(method, path, data, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            if method == "POST":
                raise
            response = self._send(method, path, data, headers)
        payload = response.read()
        if response.status >= 400:
            raise _refusal(response.status, payload)
        return json.loads(payload) if payload else None

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _send(
        self, method: str, path: str, data: bytes, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, path, data, headers)
            return self._connection.getresponse()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise


def _placement(name: str) -> str:
    return f"/v1/placements/{quote(name, safe='')}"


def _event(placement: str, event_id: str) -> str:
    return f"{_placement(placement)}/events/{quote(event_id, safe='')}"


def _refusal(status: int, payload: bytes) -> ApiError:
    try:
        error = json.loads(payload)["error"]
        return ApiError(status, str(error["code"]), str(error["message"]))
    except (ValueError, KeyError, TypeError):
        return ApiError(status, "not_ours", payload[:200].decode(errors="replace"))
