"""The trace in headers and in the JSON of decisions, whoever wrote them."""

import msgspec
import pytest
from hypothesis import given
from msgspec import Raw

from streams.events import encode
from streams.logs.cloudevents import trace_headers, trace_headers_of, trace_in
from tests.streams.made_events import decisions

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADERS = (("traceparent", TRACE.encode()),)


@given(decisions())
def test_a_decisions_trace_is_found_in_its_json_however_it_is_written(decision):
    for trace, headers in ((TRACE, HEADERS), (None, ()), ("00-malformed", ())):
        written = encode(msgspec.structs.replace(decision, traceparent=trace))
        assert trace_headers_of(Raw(written)) == headers
        assert trace_headers_of(Raw(msgspec.json.format(written, indent=2))) == headers


@pytest.mark.parametrize(
    ("json", "headers"),
    [
        (b'{"traceparent":"%s","context":{"traceparent":null,"v":1}}' % TRACE.encode(), HEADERS),
        (b'{"context":{"traceparent":"%s"}}' % TRACE.encode(), ()),
        (b'{"v":1}', ()),
    ],
)
def test_only_the_decisions_own_field_counts(json, headers):
    assert trace_headers_of(Raw(json)) == headers


def test_what_headers_tell_is_what_they_were_given():
    assert trace_in(trace_headers(TRACE)) == TRACE
    assert trace_in((("traceparent", OTHER.encode()), *HEADERS)) == TRACE
    assert trace_in(()) is None
