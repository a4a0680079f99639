"""The OpenAPI document: every example in it runs, and every answer is what it says."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from bandit.service.settings import Settings
from streams.catalogue.state import catalogue_message
from streams.dead_letters import dead_letter_message
from streams.events.creatives import GeneratorVersion
from streams.logs.base import Record
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import running, served, wait_until

CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
LAST: Final = "/v1/keys"
"""What changes who may ask: from the first key on, nobody without one."""

STREAM: Final = "/v1/live"
"""It would go on for ever."""


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    data = tmp_path_factory.mktemp("openapi")
    log = SqliteLog(data / "log.db")  # on disk: who evaluates reads it in a process of its own
    with running(log, Settings(data=data)) as api:
        name = api.placement("home", ["a", "b"])
        api.placement("homepage")
        path = f"/v1/placements/{name}/policy/promote"
        api.client.post(path, json={"policy": {"name": "uniform"}}).raise_for_status()
        outcome = Record("outcomes", 0, 7, 0, b"e", b"{}")
        api.log.append([dead_letter_message(outcome, "late", "too late")])
        body = {"context": {"targetingKey": "user-17"}}
        api.client.post(f"/ofrep/v1/evaluate/flags/{name}", json=body).raise_for_status()
        yield api
    log.close()


@pytest.fixture(scope="module")
def document(api):
    return api.client.get("/openapi.json").raise_for_status().json()


def examples_of(document, operation):
    """The examples of an operation's body: those of its own, and those of its schema."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    found = [example["value"] for example in content.get("examples", {}).values()]
    schemas = [content.get("schema", {})]
    while schemas:
        schema = schemas.pop()
        schemas += schema.get("anyOf", [])
        if "$ref" in schema:
            schemas.append(document["components"]["schemas"][schema["$ref"].split("/")[-1]])
        found += schema.get("examples", [])
    return found


def operations(document):
    found = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return sorted(found, key=lambda each: each[0].startswith(LAST))


def test_every_body_has_an_example(document):
    bare = [
        f"{method} {path}"
        for path, method, operation in operations(document)
        if "requestBody" in operation and not examples_of(document, operation)
    ]
    assert bare == []


def test_every_route_says_what_it_is_for(document):
    for path, _, operation in operations(document):
        assert operation.get("description") or operation.get("summary"), path
        assert operation["tags"], path


class Asker:
    """Fills a path's places with things that are there, made anew where an example uses one up."""

    def __init__(self, api):
        self.api = api
        self.headers = {}
        self._made = 0

    def path(self, path, example):
        placement = "home"
        if path == STREAM:
            return f"{path}?once=true"
        if "{creative_id}" in path:
            path = path.replace("{creative_id}", self._creative(example))
        if "{generation_id}" in path or "{brief_id}" in path:
            generation = self._generation(placement)
            path = path.replace("{generation_id}", generation)
            briefs = self.api.client.get("/v1/briefs").json()["items"]
            path = path.replace("{brief_id}", briefs[0]["id"])
        if "{event_id}" in path:
            path = path.replace("{event_id}", self.api.rank(placement).json()["event_id"])
        if "{evaluation_id}" in path:
            path = path.replace("{evaluation_id}", self._evaluation(placement))
        if "{letter_id}" in path:
            path = path.replace("{letter_id}", "0-0")
        if "{version_id}" in path:
            path = path.replace("{version_id}", self._version())
        path = path.replace("{key}", self._key() if path.startswith(LAST) else placement)
        return path.replace("{placement}", placement)

    def _creative(self, example):
        self._made += 1
        status = "proposed" if example and "verdict" in example else "live"
        body = {"id": f"made-{self._made}", "parts": {"headline": "h"}, "status": status}
        path = "/v1/placements/home/creatives"
        self.api.client.post(path, json=body).raise_for_status()
        return body["id"]

    def _generation(self, placement):
        path = f"/v1/placements/{placement}/generations"
        return self.api.client.post(path, json={"brief": {}}).raise_for_status().json()["id"]

    def _version(self):
        self._made += 1
        made = GeneratorVersion(id=f"v-{self._made}", status="candidate", timestamp_ms=1)
        self.api.log.append([catalogue_message(made)])
        at = f"/v1/generator/versions/{made.id}"
        wait_until(lambda: self.api.client.get(at, headers=self.headers).is_success)
        return made.id

    def _evaluation(self, placement):
        path = f"/v1/placements/{placement}/evaluations"
        made = self.api.client.post(path, json={}, headers=self.headers)
        return made.raise_for_status().json()["id"]

    def _key(self):
        body = {"name": "admin", "scopes": ["admin"]}
        made = self.api.client.post(LAST, json=body, headers=self.headers).raise_for_status().json()
        self.headers = {"x-api-key": made["key"]}
        return made["id"]


def test_every_example_runs(api, document):
    asker, ran = Asker(api), 0
    deletions = []
    for path, method, operation in operations(document):
        if method == "delete":
            deletions.append((path, method, operation))
            continue
        ran += run(asker, document, path, method, operation)
    # a second placement of that name is made in between where it was deleted
    for path, method, operation in sorted(deletions, key=lambda each: each[0].startswith(LAST)):
        ran += run(asker, document, path, method, operation)
        asker.api.client.put("/v1/placements/home", json={}, headers=asker.headers)
    assert ran > len(document["paths"])


def run(asker, document, path, method, operation):
    examples = examples_of(document, operation) or [None]
    for example in examples:
        at = asker.path(path, example)
        answer = asker.api.client.request(method, at, json=example, headers=asker.headers)
        assert answer.is_success, (method, at, example, answer.text)
        assert str(answer.status_code) in operation["responses"], (path, answer.status_code)
    return len(examples)


def test_no_answer_is_off_what_is_documented(tmp_path):
    """Schemathesis, bounded; benchmarks/bench_openapi.py has it run for long."""
    data = tmp_path / "data"
    with served(data) as (_, api):
        api.placement("home")
        command = [
            str(Path(sys.executable).with_name("st")),
            "run",
            f"{api.url}/openapi.json",
            "--exclude-path", STREAM,
            "--exclude-path", LAST,  # with a key of its making nobody else would be let in
            "--checks", ",".join(CHECKS),
            "--phases", "examples,coverage,fuzzing",
            "--max-examples", "3",
            "--generation-deterministic",
            "--continue-on-failure",
            "--no-color",
            "--suppress-health-check", "all",
            "--request-timeout", "30",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
