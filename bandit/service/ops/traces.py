"""Traces for OpenTelemetry: what a request, an append and the learner took, and of which trace.

The trace goes on with the events, as they carry its `traceparent`; here are only the spans. With
no URL in the settings nothing of it is imported, and nothing is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from typing import Any, Final

from bandit.errors import SettingError
from bandit.service.asgi import AsgiApp, Receive, Scope, Send, before_start, trace_of
from bandit.service.auth.caller import required_scope
from bandit.service.settings import Settings
from streams.logs.base import Headers, Message, Record
from streams.logs.cloudevents import trace_in

MOST_LINKS: Final = 100
"""How many traces a span of a whole group names."""


class Traces:
    """Makes spans of one process, and sends them to a collector in the background.

    Args:
        url: where the collector takes traces over HTTP, such as http://localhost:4318/v1/traces.
        process: who says so.

    Raises:
        SettingError: OpenTelemetry is not installed, or that is no URL.
    """

    def __init__(self, url: str, process: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingError(f"COPYLOOP_TRACES_URL is {url!r}; expected http://… or https://…")
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise SettingError(
                f"COPYLOOP_TRACES_URL is set, and {error.name} is not installed; "
                "pip install 'copyloop[otel]'"
            ) from error
        self._api = trace
        self._provider = TracerProvider(
            resource=Resource.create(
                {"service.name": f"copyloop-{process}", "service.version": version("copyloop")}
            )
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self._tracer = self._provider.get_tracer("copyloop")

    def request(self, name: str, traceparent: str | None) -> Any:
        """Returns a span of a request, which begins now, in the trace that it came with."""
        parent = None if traceparent is None else self._context(traceparent)
        around = None
        if parent is not None:
            span = self._api.NonRecordingSpan(parent)
            around = self._api.set_span_in_context(span)
        kind = self._api.SpanKind.SERVER
        return self._tracer.start_span(name, context=around, kind=kind)

    def of(self, messages: Sequence[Message]) -> AbstractContextManager[None]:
        """Makes a span of an append, which the block does."""
        return self._group("append", [message.headers for message in messages])

    def of_batch(self, records: Sequence[Record]) -> AbstractContextManager[None]:
        """Makes a span of what the learner does with a batch; of an empty one it makes none."""
        headers = [record.headers for record in records]
        return self._group("learn", headers) if headers else nullcontext()

    @contextmanager
    def _group(self, name: str, carried: Sequence[Headers]) -> Iterator[None]:
        """Makes a span of the block, which works for all the traces that the headers carry."""
        traces = list(dict.fromkeys(filter(None, map(trace_in, carried))))
        links = [self._api.Link(self._context(found)) for found in traces[:MOST_LINKS]]
        counted = {"copyloop.records": len(carried)}
        # An exception is recorded and raised by the span itself.
        with self._tracer.start_as_current_span(name, links=links, attributes=counted):
            yield

    def close(self) -> None:
        """Sends what was not sent yet."""
        self._provider.shutdown()

    def _context(self, traceparent: str) -> Any:
        _, trace_id, span_id, flags = traceparent.split("-")
        return self._api.SpanContext(
            int(trace_id, 16),
            int(span_id, 16),
            is_remote=True,
            trace_flags=self._api.TraceFlags(int(flags, 16)),
        )


class TracedApp:
    """The application, with a span a request."""

    def __init__(self, app: AsgiApp, traces: Traces) -> None:
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on, and says how long it took and how it ended (ASGI 3)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        need = required_scope(method, scope["raw_path"], scope["path"])
        name = need if need in ("rank", "reward") else method
        span = self._traces.request(name, trace_of(scope))
        watched = before_start(
            send, lambda start: span.set_attribute("http.response.status_code", start["status"])
        )
        try:
            await self._app(scope, receive, watched)
        finally:
            # Its template: a path may name an event, and so a person.
            span.set_attribute("http.route", getattr(scope.get("route"), "path_format", name))
            span.set_attribute("http.request.method", method)
            span.end()


def open_traces(settings: Settings, process: str) -> Traces | None:
    """Returns what makes the process's spans, None if none are wanted.

    Raises:
        SettingError: they are, and cannot be made.
    """
    return Traces(settings.traces_url, process) if settings.traces_url else None
