"""Lines for people and for programs, which request they are about, and what is never in them."""

import io
import json
import logging
import sys

import pytest

from bandit.service.auth.keys import key_messages, make_key
from bandit.service.errors import begin_request, mark_line, request_id
from bandit.service.settings import Secret, Settings
from streams.logs.embedded import MemoryLog
from streams.process import JsonLines, TextLines
from streams.topics import create_topics
from tests.bandit.service.api_server import code_of, running


def record(message="it is %s", *args, **extra):
    made = logging.LogRecord("a.b", logging.WARNING, "f.py", 1, message, args or ("so",), None)
    for name, value in extra.items():
        setattr(made, name, value)
    return made


def test_a_line_of_json_says_all_there_is_on_one_line():
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        failed = record(request_id="r-1")
        failed.exc_info = sys.exc_info()
    line = JsonLines("api").format(failed)
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == "it is so"
    assert (told["level"], told["process"], told["logger"]) == ("warning", "api", "a.b")
    assert told["request_id"] == "r-1"
    assert "ValueError: first\nsecond" in told["exception"]
    assert told["time"].endswith("+00:00")
    assert "request_id" not in json.loads(JsonLines("api").format(record()))


def test_a_line_of_text_names_the_request_before_the_traceback():
    assert TextLines("api").format(record()).endswith("api WARNING it is so")
    assert TextLines("api").format(record(request_id="r")).endswith("it is so (request r)")


@pytest.fixture
def lines():
    """What the processes of this test log, as JSON."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(JsonLines("test"))
    handler.addFilter(mark_line)
    # The tests' own client is no part of what is served.
    handler.addFilter(lambda record: not record.name.startswith("http"))
    logging.getLogger().addHandler(handler)
    before = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    yield output
    logging.getLogger().setLevel(before)
    logging.getLogger().removeHandler(handler)


class Failing(MemoryLog):
    """A log that fails as nobody foresaw, once it is told to."""

    failing = False

    def append(self, messages):
        if self.failing:
            raise RuntimeError("the disk is on fire")
        return super().append(messages)


def test_a_request_is_found_again_in_the_log(lines):
    log = Failing()
    with running(log) as api:
        api.placement("home")
        log.failing = True
        asked = api.client.post(
            "/v1/placements/home/rank", json={}, headers={"X-Request-Id": "mine-1"}
        )
        assert code_of(asked) == (500, "internal_error")
        assert asked.headers["x-request-id"] == "mine-1"
        other = api.rank("home")
        assert "x-request-id" not in other.headers
    failed = [json.loads(line) for line in lines.getvalue().splitlines()]
    failed = [line for line in failed if "rank failed" in line["message"]]
    assert [line["request_id"] == "mine-1" for line in failed] == [True, False]
    assert failed[1]["request_id"] in other.json()["error"]["message"]


@pytest.mark.parametrize("odd", [b"", b"x" * 129, b"a b", b"\xff", b'"'])
def test_an_id_that_could_forge_a_line_is_not_taken(odd):
    assert begin_request(odd) is None
    assert request_id() not in (None, odd.decode(errors="replace"))


SECRETS = {
    "context": "ada.lovelace@example.org",
    "deep": "10115-Berlin",
    "salt": "a-salt-of-the-earth-0123",
    "signing": "a-signing-secret-0123456",
    "outcome": "order-of-ada-77",
}


def test_neither_secrets_nor_contexts_reach_the_log_of_the_process(lines):
    log = Failing()
    create_topics(log)
    key, text = make_key("k", ["admin"], 1)
    log.append(key_messages("me", "created", None, key, 1))
    settings = Settings(
        private_salt=Secret(SECRETS["salt"]),
        reward_secret=Secret(SECRETS["signing"]),
        max_body_bytes=100_000,
    )
    logging.getLogger("test").info("settings are %s", settings)
    with running(log, settings) as api:
        api.client.headers["X-API-Key"] = text
        api.placement("home", policy={"name": "lin_ts"})
        context = {"mail": SECRETS["context"], "geo": {"zip": SECRETS["deep"]}}
        outcome = {"kind": "click", "outcome_id": SECRETS["outcome"]}
        for failing in (False, True):
            log.failing = failing
            api.rank("home", context=context)
            api.rank("home", context=[context])
            api.rank("home", context=context, event_id="")
            api.rank("home", context=context, actions=[{"id": SECRETS["context"]}])
            api.rank("home", context={**context, "n": 10**400})
            api.event("home", "e", "outcomes", outcome)
            api.client.post("/v1/outcomes", json=[{**outcome, "placement": "home", "value": "x"}])
            api.client.post("/v1/placements/home/rank", content=f'{{"context": {context}')
            api.client.post("/v1/placements/home/rank", json=context, headers={"X-API-Key": "x"})
            api.client.get("/v1/placements/home/policy", params={"context": json.dumps([context])})
            api.client.put("/v1/placements/home", json={"policy": {"name": SECRETS["context"]}})
    told = lines.getvalue()
    assert "rank failed" in told, "there was something to say"
    for what, secret in SECRETS.items():
        assert secret not in told, what
    assert text.split("_", 2)[2] not in told
