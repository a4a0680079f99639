import asyncio
import re
import threading

import httpx
import msgspec
import pytest

from bandit.service.app import create_app
from bandit.service.requests import RankAnswer, RankSlotsAnswer
from bandit.service.settings import Settings
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit.service.api_server import code_of, running

HOT = {
    "/v1/placements/{placement}/rank",
    "/v1/placements/{placement}/events/{event_id}/reward",
    "/v1/placements/{placement}/events/{event_id}/outcomes",
    "/v1/placements/{placement}/events/{event_id}/activate",
}


def sample(api, name, **labels):
    """Returns what /metrics says of one time series, 0 where it says nothing."""
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    for line in api.client.get("/metrics").text.splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name and wanted <= set((found[2] or "").split(",")):
            return float(found[3])
    return 0.0


def test_requests_are_counted_by_template_and_status(api):
    name = api.placement("counted")
    rank, read = "/v1/placements/{placement}/rank", "/v1/placements/{placement}"
    series = [(rank, 200), (rank, 404), (read, 404), ("unmatched", 404)]

    def counts():
        return [
            sample(api, "copyloop_requests_total", route=route, status=status)
            for route, status in series
        ]

    before = counts()
    api.rank(name)
    api.rank("nowhere")
    api.client.get("/v1/placements/nowhere")
    api.client.get("/nowhere")
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1, 1]
    assert sample(api, "copyloop_request_seconds_count", route=rank) >= 2


def test_decisions_outcomes_and_groups_are_counted(api):
    name = api.placement("tallied", ["a", "b"])
    groups = sample(api, "copyloop_append_group_messages_count")
    for _ in range(3):
        api.rank(name)
    api.event(name, "e", "outcomes", [{"kind": "click"}, {"kind": "impression"}])
    assert sample(api, "copyloop_decisions_total", placement=name) == 3
    assert sample(api, "copyloop_outcomes_total", placement=name) == 2
    assert sample(api, "copyloop_append_group_messages_count") == groups + 4
    assert sample(api, "copyloop_live_creatives", placement=name) == 2


def test_it_says_that_it_is_alive_and_ready(api):
    assert api.client.get("/health/live").json() == {"status": "ok"}
    ready = api.client.get("/health")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")


@pytest.fixture
def idle():
    """A client of an application whose life has not begun."""
    log = MemoryLog()
    create_topics(log)
    transport = httpx.ASGITransport(create_app(log, Settings()))
    return httpx.AsyncClient(transport=transport, base_url="http://api")


def test_it_is_not_ready_while_nothing_is_followed(idle):
    answer = asyncio.run(idle.get("/health"))
    assert code_of(answer) == (503, "catalogue_not_followed")
    assert answer.headers["retry-after"] == "1"


def test_the_document_describes_the_hot_routes(api):
    document = api.client.get("/openapi.json").json()
    assert set(document["paths"]) >= HOT | {"/v1/placements", "/health"}
    rank = document["paths"]["/v1/placements/{placement}/rank"]["post"]
    assert rank["requestBody"]["content"]["application/json"]["examples"]
    request = document["components"]["schemas"]["RankRequest"]
    assert set(request["properties"]) == {"context", "actions", "event_id", "deferred", "slots"}
    assert request["additionalProperties"] is False


def test_every_reference_of_the_document_leads_somewhere(api):
    text = api.client.get("/openapi.json").text
    schemas = api.client.get("/openapi.json").json()["components"]["schemas"]
    references = set(re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', text))
    assert references
    assert references <= set(schemas)
    assert "HTTPValidationError" not in references


def test_the_answers_of_the_document_are_of_their_form(api):
    paths = api.client.get("/openapi.json").json()["paths"]
    answers = paths["/v1/placements/{placement}/rank"]["post"]["responses"]["200"]["content"]
    examples = answers["application/json"]["examples"]
    msgspec.convert(examples["one"]["value"], RankAnswer, strict=True)
    several = msgspec.convert(examples["several slots"]["value"], RankSlotsAnswer, strict=True)
    for slot in several.slots:
        assert slot.pmf[slot.index].id == slot.action.id
        assert slot.pmf[slot.index].propensity == slot.propensity


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_needs_no_internet(api, path):
    page = api.client.get(path).text
    assert "openapi.json" in page
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert assets
    for asset in assets:
        assert asset.startswith("/docs/assets/")
        assert api.client.get(asset).status_code == 200


class SilentLog(MemoryLog):
    """A log that does not say where it ends until it may."""

    def __init__(self):
        super().__init__()
        self.may_speak = threading.Event()
        self.may_speak.set()

    def end_offset(self, partition):
        assert self.may_speak.wait(30)
        return super().end_offset(partition)


def test_a_log_that_does_not_answer_is_told_in_words():
    log = SilentLog()
    with running(log) as api:
        log.may_speak.clear()
        answer = api.client.get("/health")
        log.may_speak.set()
        assert code_of(answer) == (503, "log_unavailable")
        assert answer.json()["error"]["message"].endswith("no answer in time")
        assert api.client.get("/health").status_code == 200
