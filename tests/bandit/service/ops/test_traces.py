"""Spans as a collector gets them: which there are, and of which trace."""

import gzip
import sys

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bandit.errors import SettingError
from bandit.service.ops.traces import Traces, open_traces
from bandit.service.settings import Settings
from streams.logs.base import Record
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import running
from tests.http_stub import answering, body_of

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Collector:
    """What an OpenTelemetry collector gets over HTTP."""

    def __init__(self):
        self.spans = []

    def answer(self, handler):
        body = body_of(handler)
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in group.scope_spans:
                self.spans += scope.spans
        return b""

    def named(self, name):
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector():
    made = Collector()
    with answering("POST", made.answer) as url:
        made.url = f"{url}/v1/traces"
        yield made


def attributes(span):
    return {each.key: each.value for each in span.attributes}


def test_a_request_and_its_append_are_of_the_trace_that_it_came_with(collector):
    with running(MemoryLog(), Settings(traces_url=collector.url)) as api:
        api.placement("home")
        traced = {"traceparent": TRACEPARENT}
        path = "/v1/placements/home/rank"
        api.client.post(path, json={}, headers=traced).raise_for_status()
        api.client.post(path, json={})
        api.client.post("/v1/placements/nowhere/rank", json={})
    first, second, third = collector.named("rank")
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert second.trace_id.hex() != TRACE
    codes = [
        attributes(span)["http.response.status_code"].int_value for span in (first, second, third)
    ]
    assert codes == [200, 200, 404]
    linked = [span for span in collector.named("append") if span.links]
    assert [span.links[0].trace_id.hex() for span in linked] == [TRACE]
    assert attributes(linked[0])["copyloop.records"].int_value == 1
    assert {"GET", "PUT", "POST"} & {span.name for span in collector.spans}


def test_the_learner_links_to_what_it_learned_from(collector):
    traces = Traces(collector.url, "learn")
    record = Record("interactions", 0, 0, 1, b"k", b"v", (("traceparent", TRACEPARENT.encode()),))
    with traces.of_batch([record, record, record._replace(headers=())]):
        pass
    with traces.of_batch([]):
        pass
    with pytest.raises(RuntimeError), traces.of_batch([record]):
        raise RuntimeError("no good")
    traces.close()
    done, failed = collector.named("learn")
    assert [link.trace_id.hex() for link in done.links] == [TRACE]
    assert attributes(done)["copyloop.records"].int_value == 3
    assert failed.events[0].name == "exception"


def test_nothing_is_made_or_imported_unless_it_is_wanted():
    assert open_traces(Settings(), "api") is None


def test_traces_that_cannot_be_made_stop_the_start(monkeypatch):
    with pytest.raises(SettingError, match="COPYLOOP_TRACES_URL"):
        Traces("localhost:4318", "api")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingError, match="copyloop\\[otel\\]"):
        Traces("http://localhost:4318", "api")
