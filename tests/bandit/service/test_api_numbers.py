"""Numbers that no 64 bits hold and names that no address holds, wherever a request has them."""

import httpx
import pytest

from bandit.service.settings import Settings
from streams.logs.sqlite import SqliteLog
from tests.bandit.service.api_server import code_of, running

NUMBERS = ["9" * 19, "9" * 40, "9" * 5000, "-" + "9" * 30, "0-" + "9" * 40, "9" * 40 + "-0", "٣٣"]
NEVER_ENDS = "/v1/live"
PERSONALIZER = "/placements/p/personalizer/{}?api-version=2022-09-01-preview"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    log = SqliteLog(folder / "log.db")
    with running(log, Settings(data=folder)) as api:
        api.placement("p")
        yield api
    log.close()


def with_parameters(api):
    """Every read that is documented and takes parameters."""
    document = api.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        parameters = operations.get("get", {}).get("parameters", [])
        if parameters and path != NEVER_ENDS:
            yield path, parameters


def test_every_integer_of_a_query_or_path_has_bounds(api):
    def bounded(schema):
        kinds = schema.get("anyOf", [schema])
        return all(
            kind.get("type") != "integer" or {"maximum", "exclusiveMaximum"} & kind.keys()
            for kind in kinds
        )

    found = [
        (path, each["name"])
        for path, parameters in with_parameters(api)
        for each in parameters
        if not bounded(each["schema"])
    ]
    assert found == []


def test_no_number_makes_the_service_fail(api):
    tried = 0
    for path, parameters in with_parameters(api):
        for parameter in parameters:
            if parameter["in"] == "header":
                continue
            for number in NUMBERS[: 3 if parameter["in"] == "query" else None]:
                names = {"placement": "p"}
                if parameter["in"] == "path":
                    names = {p["name"]: "p" for p in parameters} | {parameter["name"]: number}
                url = path.format_map({p["name"]: "p" for p in parameters} | names)
                query = {parameter["name"]: number} if parameter["in"] == "query" else {}
                answer = api.client.get(url, params=query)
                assert answer.status_code < 500, (url[:80], query)
                tried += 1
    assert tried > 100


@pytest.mark.parametrize("number", NUMBERS)
def test_the_same_of_personalizers_lists_of_letters_and_of_a_stream(api, number):
    for name in ("skip", "top"):
        url = PERSONALIZER.format("evaluations") + f"&{name}={number}"
        assert api.client.get(url).status_code in (200, 400)
    body = {"ids": [number]}
    assert api.client.post("/v1/dead-letters/replay", json=body).status_code in (404, 422)
    headers = {"last-event-id": number.encode()}
    assert api.client.get("/v1/live?once=true", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "cursor", ["W1s5OTksMF1d", "W1stMSwtMV1d", "W1swLDk5OTk5OTk5OTk5OTk5OTk5OTk5OV1d"]
)
def test_a_page_that_no_page_named_is_refused_or_empty(api, cursor):
    answer = api.client.get(f"/v1/dead-letters?after={cursor}")
    assert answer.status_code in (200, 422)


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_no_address_holds_is_refused(api, name):
    def sent(method, path, body):
        # As it is: httpx would resolve the dots.
        url = httpx.URL(api.url).copy_with(raw_path=path.encode())
        return api.client.request(method, url, json=body)

    escaped = name.replace(".", "%2E")
    assert code_of(sent("PUT", f"/v1/placements/{escaped}", {})) == (422, "name_invalid")
    there = f"/placements/{escaped}/personalizer/configurations/service"
    there += "?api-version=2022-09-01-preview"
    configuration = api.client.get(PERSONALIZER.format("configurations/service")).json()
    answer = sent("PUT", there, configuration)
    assert answer.status_code == 400
    assert b"placement_name_invalid" in answer.content
    made = api.client.post(
        "/v1/placements/p/creatives", json=[{"id": name, "parts": {"headline": "h"}}]
    )
    assert code_of(made) == (422, "name_invalid")
    assert code_of(api.rank("p", event_id=name)) == (422, "event_id_invalid")
    reward = sent("POST", f"/v1/placements/p/events/{escaped}/reward", {"value": 1.0})
    assert code_of(reward) == (422, "event_id_invalid")
