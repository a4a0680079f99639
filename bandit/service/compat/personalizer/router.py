"""Answers what is asked at Personalizer's addresses, and hands everything else on."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, unquote

from bandit.errors import RequestError
from bandit.service.asgi import (
    AsgiApp,
    Receive,
    Scope,
    Send,
    check_json,
    raw_headers,
    read_body,
    send_response,
    trace_of,
)
from bandit.service.auth.caller import CALLER
from bandit.service.compat.personalizer import decisions, evaluations, settings_routes
from bandit.service.compat.personalizer.evaluations import EVALUATIONS, IMPORTANCES
from bandit.service.compat.personalizer.loops import DEFAULT, LoopRequest, Loops, Reply
from bandit.service.compat.personalizer.wire import PersonalizerError, refusal
from bandit.service.errors import internal_error

logger = logging.getLogger(__name__)

BY_QUERY: Final = "2022-09-01-preview"
"""The one version that an address names by `api-version`, not by a segment."""
_VERSION: Final = re.compile(r"v1\.0|v1\.1-preview(\.\d+)?")
_REQUEST_ID: Final = re.compile(rb"[\w-]{8,64}")
_NAMED: Final = "*"
"""A segment of an address that is an id."""

_ANY_TYPE: Final = frozenset({"rank", "reward", "activate", "model"})
"""How addresses end that take a body whatever it says to be; clients send models as octets."""

Handler: TypeAlias = Callable[[Loops, LoopRequest], Awaitable[Reply]]

ROUTES: Final[dict[tuple[str, ...], dict[str, Handler]]] = {
    ("rank",): {"POST": decisions.rank_one},
    ("events", _NAMED, "reward"): {"POST": decisions.reward_one},
    ("events", _NAMED, "activate"): {"POST": decisions.activate},
    ("multislot", "rank"): {"POST": decisions.rank_several},
    ("multislot", "events", _NAMED, "reward"): {"POST": decisions.reward_several},
    ("multislot", "events", _NAMED, "activate"): {"POST": decisions.activate},
    ("configurations", "service"): {
        "GET": settings_routes.read_configuration,
        "PUT": settings_routes.write_configuration,
    },
    ("configurations", "policy"): {
        "GET": settings_routes.read_policy,
        "PUT": settings_routes.write_policy,
        "DELETE": settings_routes.reset_policy,
    },
    ("configurations", "applyFromEvaluation"): {"POST": evaluations.apply_evaluation},
    ("evaluations",): {
        "GET": partial(evaluations.list_jobs, EVALUATIONS),
        "POST": evaluations.create_evaluation,
    },
    ("evaluations", _NAMED): {
        "GET": evaluations.read_evaluation,
        "PUT": partial(evaluations.put_job, EVALUATIONS),
        "DELETE": partial(evaluations.delete_job, EVALUATIONS),
    },
    ("featureImportances",): {"GET": partial(evaluations.list_jobs, IMPORTANCES)},
    ("featureImportances", _NAMED): {
        "GET": evaluations.read_importance,
        "PUT": partial(evaluations.put_job, IMPORTANCES),
        "DELETE": partial(evaluations.delete_job, IMPORTANCES),
    },
    ("model",): {
        "GET": settings_routes.read_model,
        "PUT": settings_routes.refused_import,
        "DELETE": settings_routes.refused_reset,
    },
    ("model", "properties"): {"GET": settings_routes.read_model_properties},
    ("logs",): {"DELETE": settings_routes.refused_deletion},
    ("logs", "properties"): {"GET": settings_routes.read_log_properties},
}


class Address(NamedTuple):
    """Where a request goes; `version` is empty if the query says it, `rest` names the route."""

    placement: str
    version: str
    rest: tuple[str, ...]


class PersonalizerRouter:
    """Answers at Personalizer's addresses; `app` answers at all others."""

    def __init__(self, app: AsgiApp, loops: Loops) -> None:
        self._app = app
        self._loops = loops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or hands it on (ASGI 3)."""
        address = address_of(scope["raw_path"]) if scope["type"] == "http" else None
        if address is None:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        pattern, reply = await self._reply(address, scope, receive)
        await send_response(send, reply.status, reply.body, reply.headers, reply.content_type)
        template = "/".join(("", "personalizer", *(pattern or ("unmatched",))))
        seconds = time.perf_counter() - started
        self._loops.metrics.request(template.replace(_NAMED, "{id}"), reply.status, seconds)

    async def _reply(
        self, address: Address, scope: Scope, receive: Receive
    ) -> tuple[tuple[str, ...] | None, Reply]:
        version, pattern = address.version, None
        try:
            query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
            version = version or _version_in(query)
            pattern, handlers, ids = _match(address.rest)
            handler = handlers.get(scope["method"])
            if handler is None:
                message = f"{scope['method']}: expected {', '.join(handlers)}"
                raise RequestError(405, "method_not_allowed", message)
            sent = dict(scope["headers"])
            # A browser sends no PUT of another site's page without asking.
            typed = scope["method"] == "POST" or b"content-type" in sent
            if scope["method"] != "GET" and typed and pattern[-1] not in _ANY_TYPE:
                check_json(sent)
            body = await read_body(sent, receive, self._loops.settings.max_body_bytes)
            request_id = _request_id(sent.get(b"x-ms-client-request-id"))
            caller = scope[CALLER]
            call = LoopRequest(
                address.placement, version, ids, query, body, caller, trace_of(scope), request_id
            )
            return pattern, await handler(self._loops, call)
        except RequestError as error:
            return pattern, _refused(error, version)
        except Exception:  # one request's failure, whatever it is, must not end the others
            logger.exception("%s %s failed", scope["method"], scope["path"])
            return pattern, _refused(internal_error(), version)


def address_of(raw_path: bytes) -> Address | None:
    """Returns where the request goes, None if not to Personalizer's addresses.

    An endpoint may end in a slash, which makes two, and may name a placement.

    >>> address_of(b"/placements/shop//personalizer/v1.0/rank")
    Address(placement='shop', version='v1.0', rest=('rank',))
    >>> address_of(b"/personalizer/configurations/service")
    Address(placement='default', version='', rest=('configurations', 'service'))
    >>> address_of(b"/v1/placements/shop/rank")
    """
    if b"/personalizer/" not in raw_path:
        return None
    segments = [unquote(part) for part in raw_path.decode("latin-1").split("/") if part]
    placement = DEFAULT
    if segments[0] == "placements" and len(segments) > 1:
        placement, segments = segments[1], segments[2:]
    if segments[:1] != ["personalizer"]:
        return None
    version = ""
    if len(segments) > 1 and _VERSION.fullmatch(segments[1]):
        version, segments = segments[1], segments[1:]
    return Address(placement, version, tuple(segments[1:]))


def _version_in(query: dict[str, str]) -> str:
    found = query.get("api-version")
    if found != BY_QUERY:
        raise PersonalizerError(
            "InvalidRequest",
            "api_version_invalid",
            f"api-version is {found!r}; expected {BY_QUERY}, or v1.0 or v1.1-preview.N as the "
            "segment after /personalizer",
            target="api-version",
        )
    return found


def _match(
    rest: tuple[str, ...],
) -> tuple[tuple[str, ...], dict[str, Handler], tuple[str, ...]]:
    for pattern, handlers in ROUTES.items():
        pairs = list(zip(pattern, rest, strict=False))
        if len(pattern) == len(rest) and all(p in (_NAMED, s) for p, s in pairs):
            return pattern, handlers, tuple(s for p, s in pairs if p == _NAMED)
    message = f"there is no /{'/'.join(rest)} in Personalizer's API"
    raise PersonalizerError("ResourceNotFound", "not_found", message, status=404)


def _request_id(value: bytes | None) -> str | None:
    return value.decode() if value is not None and _REQUEST_ID.fullmatch(value) else None


def _refused(error: RequestError, version: str) -> Reply:
    status, code, body = refusal(error, version)
    return Reply(status, body, (*raw_headers(error), (b"x-ms-error-code", code.encode())))
