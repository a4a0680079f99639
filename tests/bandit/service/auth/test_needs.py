"""Which scope each route needs, over every route that there is."""

import pytest

from bandit.service.auth.caller import required_scope
from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import running


def scope_of(method, path):
    return required_scope(method, path.encode(), path)


@pytest.mark.parametrize(
    ("request_line", "scope"),
    [
        ("POST /v1/placements/home/rank", "rank"),
        ("POST /v1/placements/a%2Fb/rank", "rank"),
        ("POST /personalizer/v1.0/rank", "rank"),
        ("POST /personalizer/v1.1-preview.3/multislot/rank", "rank"),
        ("POST /placements/home/personalizer/v1.0/rank", "rank"),
        ("POST /placements/home//personalizer/rank", "rank"),
        ("POST /ofrep/v1/evaluate/flags", "rank"),
        ("POST /ofrep/v1/evaluate/flags/home", "rank"),
        ("POST /v1/placements/home/events/e/reward", "reward"),
        ("POST /v1/placements/home/events/e/outcomes", "reward"),
        ("POST /v1/placements/home/events/e/activate", "reward"),
        ("POST /v1/outcomes", "reward"),
        ("POST /v1/placements/home/outcomes", "reward"),
        ("POST /personalizer/v1.0/events/e/reward", "reward"),
        ("POST /personalizer/multislot/events/e/activate", "reward"),
        ("POST /ofrep/v1/track", "reward"),
        ("GET /v1/placements", "view"),
        ("GET /v1/placements/home/rank", "view"),
        ("GET /personalizer/v1.0/configurations/service", "view"),
        ("GET /metrics", "view"),
        ("POST /v1/placements/home/creatives/a/review", "review"),
        ("PATCH /v1/placements/home/creatives/a", "operate"),
        ("PUT /v1/placements/rank", "operate"),
        ("PUT /v1/placements/home", "operate"),
        ("DELETE /v1/placements/home", "operate"),
        ("PUT /personalizer/v1.0/configurations/policy", "operate"),
        ("DELETE /personalizer/v1.0/logs", "operate"),
        ("POST /v1/placements/home/policy/promote", "operate"),
        ("POST /v1/placements/home/creatives/x/rank", "operate"),
        ("GET /v1/keys", "admin"),
        ("POST /v1/keys", "admin"),
        ("DELETE /v1/keys/k", "admin"),
        ("GET /v1/acts", "admin"),
        ("GET /health", None),
        ("GET /docs", None),
        ("POST /nobody/knows", "operate"),
    ],
)
def test_a_route_needs(request_line, scope):
    method, path = request_line.split()
    assert scope_of(method, path) == scope


def test_no_escape_opens_a_route_that_its_plain_form_keeps_shut():
    assert required_scope("POST", b"/v1/key%73", "/v1/keys") == "admin"
    assert required_scope("GET", b"/v1/act%73", "/v1/acts") == "admin"
    assert required_scope("POST", b"/v1/placements/x%2Frank", "/v1/placements/x/rank") == "operate"


def test_only_asking_and_telling_routes_are_for_the_keys_of_web_pages():
    log = MemoryLog()
    with running(log) as api:
        paths = api.client.get("/openapi.json").json()["paths"]
    asked = {
        (method, path)
        for path, operations in paths.items()
        for method in operations
        if scope_of(method.upper(), path) in ("rank", "reward")
    }
    last = {path.rsplit("/", 1)[1] for _, path in asked}
    assert last <= {"rank", "reward", "outcomes", "activate", "track", "flags", "{key}", "{flag}"}
    assert len(paths) > 10
    reading = {path for path in paths if scope_of("GET", path) is None}
    assert reading <= {"/health", "/health/live"}
