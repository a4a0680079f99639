"""The official OpenFeature providers, unmodified, against our server: Python, and JavaScript."""

import json
import re
import shutil
import subprocess
import time

import pytest
from openfeature import api as openfeature
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from streams.logs.embedded import MemoryLog
from tests.bandit.service.api_server import running
from tests.readme import ROOT, section

SCRIPT = ROOT / "tests/node/openfeature.mjs"


@pytest.fixture
def client(api):
    openfeature.set_provider(OFREPProvider(api.url))
    yield openfeature.get_client()
    openfeature.clear_providers()


def user(name, **attributes):
    return EvaluationContext(targeting_key=name, attributes=attributes)


def test_the_python_provider_gets_a_part(api, client):
    name = api.placement("py-part", flag={"part": "headline"})
    found = client.get_string_details(name, "fallback", user("py-1", device="phone"))
    assert found.value == f"Text of {found.variant}"
    assert found.reason == Reason.SPLIT
    decision = api.decision(found.flag_metadata["eventId"])
    assert decision.propensity == found.flag_metadata["propensity"]
    assert decision.action.id == found.variant
    assert bytes(decision.context) == b'{"device":"phone"}'
    assert client.get_string_details(name, "fallback", user("py-1")) == found


def test_the_python_provider_gets_all_parts(api, client):
    name = api.placement("py-object")
    found = client.get_object_details(name, {}, user("py-2"))
    assert found.value == {"headline": f"Text of {found.variant}"}


def test_the_python_provider_understands_what_is_wrong(api, client):
    name = api.placement("py-wrong", flag={"part": "headline"})
    missing = client.get_string_details("nowhere", "fallback", user("py-3"))
    assert (missing.value, missing.error_code) == ("fallback", ErrorCode.FLAG_NOT_FOUND)
    nobody = client.get_string_details(name, "fallback", EvaluationContext())
    assert (nobody.value, nobody.error_code) == ("fallback", ErrorCode.TARGETING_KEY_MISSING)
    typed = client.get_boolean_details(name, True, user("py-3"))
    assert (typed.value, typed.error_code) == (True, ErrorCode.TYPE_MISMATCH)


@pytest.fixture(scope="module")
def javascript(api):
    """What the JavaScript providers got for one user: on a server, and in a browser."""
    name = api.placement("js", flag={"part": "headline"}, policy={"name": "uniform"})
    node = shutil.which("node")
    assert node, "the JavaScript providers want Node; `make node` installs them"
    assert (SCRIPT.parent / "node_modules").is_dir(), "run `make node`: it installs the providers"
    command = [node, str(SCRIPT), api.url, name, "js-user"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_javascript_server_provider(api, javascript):
    found = javascript["server"]
    first = found["first"]
    assert first["value"] == f"Text of {first['variant']}"
    assert first["reason"] == "SPLIT"
    decision = api.decision(first["flagMetadata"]["eventId"])
    assert decision.action.id == first["variant"]
    assert decision.propensity == first["flagMetadata"]["propensity"]
    assert found["again"] == first
    assert (found["missing"]["value"], found["missing"]["errorCode"]) == (
        "fallback",
        "FLAG_NOT_FOUND",
    )
    assert found["anonymous"]["errorCode"] == "TARGETING_KEY_MISSING"


def test_the_javascript_web_provider_caches_and_is_told_the_same(javascript):
    web, server = javascript["web"], javascript["server"]
    assert web["first"]["value"] == server["first"]["value"]
    assert web["first"]["variant"] == server["first"]["variant"]
    assert web["first"]["flagMetadata"]["eventId"] == server["first"]["flagMetadata"]["eventId"]
    assert web["again"]["value"] == web["first"]["value"]
    first, *later = web["statuses"]
    assert first == 200
    assert set(later) == {304}, "it asks again, with the tag that it was given"


def test_the_python_example_of_the_readme_runs(api, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", section("OpenFeature"), re.DOTALL)
    api.placement("home")
    names = {}
    try:
        exec(example.replace("http://localhost:8080", api.url), names)
    finally:
        openfeature.clear_providers()
    outcomes = api.outcomes(names["found"].flag_metadata["eventId"])
    assert [outcome.kind for outcome in outcomes] == ["activation", "activation", "click"]
    assert "Text of" in capsys.readouterr().out


def visit(example, folder):
    """Runs the example as one visit of a browser whose localStorage is a file in the folder."""
    script = SCRIPT.with_name("readme-openfeature.generated.mjs")  # beside what it imports
    said = """
await new Promise((done) => setTimeout(done, 200));
globalThis.keep();
console.log(JSON.stringify({ found, eventIds })); process.exit(0);
"""
    script.write_text(f'import "./local-storage.mjs";\n{example}{said}')
    command = [shutil.which("node"), str(script), str(folder / "local-storage.json")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        script.unlink()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mode", ["network-first", "local-cache-first"])
def test_the_javascript_example_of_the_readme_counts_each_visit(tmp_path, mode):
    (example,) = re.findall(r"```javascript\n(.*?)```", section("OpenFeature"), re.DOTALL)
    assert 'cacheMode: "network-first"' in example
    clock = [int(time.time() * 1000)]
    with running(MemoryLog(), clock_ms=lambda: clock[0]) as api:
        example = example.replace("http://localhost:8080", api.url).replace("network-first", mode)
        api.placement("home", policy={"name": "uniform"})
        first = visit(example, tmp_path)
        clock[0] += 2 * 86_400_000  # the reward's window is over
        second = visit(example, tmp_path)
        for seen in (first, second):
            event_id = seen["eventIds"]["home"]
            assert api.decision(event_id).action.id == seen["found"]["variant"]
            assert "click" in [outcome.kind for outcome in api.outcomes(event_id)]
        assert first["eventIds"] != second["eventIds"]
        kept = first["found"]["flagMetadata"] == second["found"]["flagMetadata"]
        assert kept == (mode == "local-cache-first"), "then it shows what the browser stored"
