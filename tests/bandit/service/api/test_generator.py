"""The generator's versions over HTTP: promoted, rejected and rolled back."""

import msgspec
import pytest

from streams.catalogue.audit_log import latest_acts
from streams.catalogue.state import catalogue_message
from streams.events import Lineage
from streams.events.creatives import GeneratorVersion
from streams.logs.sqlite import SqliteLog
from tests.bandit.decisions import a_creative
from tests.bandit.service.api_server import code_of, running, wait_until

PATH = "/v1/generator/versions"


@pytest.fixture
def api(tmp_path):
    """A server whose log has a champion, a canary with a creative, and a candidate."""
    log = SqliteLog(tmp_path / "log.db")
    with running(log) as api:
        api.placement("home", ["by-hand"])
        events = [
            GeneratorVersion(id="v1", status="live", timestamp_ms=1),
            GeneratorVersion(id="v2", status="canary", timestamp_ms=2, parent="v1"),
            GeneratorVersion(id="v3", status="candidate", timestamp_ms=3, parent="v1"),
            a_creative("c2", lineage=Lineage(model="m", adapter="v2")),
        ]
        log.append([catalogue_message(event) for event in events])
        wait_until(lambda: len(items(api)) == 3)
        yield api
    log.close()


def items(api, **params):
    return api.client.get(PATH, params=params).raise_for_status().json()["items"]


def status_of(api):
    return {item["id"]: item["status"] for item in items(api)}


def live(api):
    found = api.client.get("/v1/placements/home/creatives", params={"status": "live"}).json()
    return [creative["id"] for creative in found["items"]]


def test_versions_come_newest_first_by_page_and_status(api):
    assert [item["id"] for item in items(api)] == ["v3", "v2", "v1"]
    page = api.client.get(PATH, params={"limit": 2}).json()
    assert page["next"] == "v2"
    assert [i["id"] for i in items(api, limit=2, after="v2")] == ["v1"]
    assert [i["id"] for i in items(api, status=["live", "canary"])] == ["v2", "v1"]


def test_one_version_and_its_tag(api):
    found = api.client.get(f"{PATH}/v2")
    assert found.json()["parent"] == "v1"
    known = {"if-none-match": found.headers["etag"]}
    assert api.client.get(f"{PATH}/v2", headers=known).status_code == 304
    assert code_of(api.client.get(f"{PATH}/v9")) == (404, "generator_version_not_found")


@pytest.mark.parametrize(
    "manifest", [b"[1,2]", b"5", b"null", b'{"loss":1e999}', b'{"model":"\xff"}'], ids=repr
)
def test_a_manifest_that_cannot_be_read_is_told_and_hides_nothing(api, manifest):
    broken = GeneratorVersion(
        id="v4", status="candidate", timestamp_ms=4, manifest=msgspec.Raw(manifest), reason="odd"
    )
    api.log.append([catalogue_message(broken)])
    wait_until(lambda: len(items(api)) == 4)
    first, *others = items(api)
    assert "the manifest is no JSON object" in first["manifest"]["unreadable"]
    assert (first["id"], first["reason"]) == ("v4", "odd")
    assert [each["manifest"] for each in others] == [{}, {}, {}]
    assert api.client.get(f"{PATH}/v4").json()["status"] == "candidate"


def test_a_version_that_is_no_event_hides_no_other(api):
    torn = catalogue_message(GeneratorVersion(id="v5", status="live", timestamp_ms=5))
    api.log.append([torn._replace(value=torn.value.replace(b'"gate":[]', b'"gate":[{"rule":1}]'))])
    api.placement("other", ["c"])
    assert [item["id"] for item in items(api)] == ["v3", "v2", "v1"]


def test_promoted_and_rolled_back(api):
    promoted = api.client.post(f"{PATH}/v2/promote", json={"why": "the board likes it"})
    assert promoted.json()["replaces"] == "v1"
    assert status_of(api) == {"v3": "candidate", "v2": "live", "v1": "retired"}
    assert live(api) == ["by-hand", "c2"]

    back = api.client.post("/v1/generator/rollback", json={"why": "complaints"}).json()
    assert back["champion"]["id"] == "v1"
    assert status_of(api) == {"v3": "candidate", "v2": "rolled_back", "v1": "live"}
    steps = api.client.get(f"{PATH}/v2").json()["steps"]
    assert [(step["status"], step["reason"]) for step in steps] == [
        ("canary", None),
        ("live", "the board likes it"),
        ("rolled_back", "complaints"),
    ]
    assert live(api) == ["by-hand"]
    acts = [(act.what, act.target) for act in latest_acts(api.log, limit=3)]
    assert acts == [
        ("generator_version changed", "v2"),
        ("generator_version changed", "v1"),
        ("creative changed", "home/c2"),
    ]

    last = api.client.post("/v1/generator/rollback", json={})
    assert last.json() == {"champion": None}
    assert code_of(api.client.post("/v1/generator/rollback", json={})) == (
        409,
        "generator_version_state",
    )


def test_rejected_with_its_creatives(api):
    rejected = api.client.post(f"{PATH}/v2/reject", json={"why": "off brand"}).json()
    assert (rejected["status"], rejected["reason"], rejected["by"]) == (
        "rejected",
        "off brand",
        "open",
    )
    assert live(api) == ["by-hand"]
    assert code_of(api.client.post(f"{PATH}/v2/promote", json={})) == (
        409,
        "generator_version_state",
    )
    assert code_of(api.client.post(f"{PATH}/v9/reject", json={}))[0] == 404
