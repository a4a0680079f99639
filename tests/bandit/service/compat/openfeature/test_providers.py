"""The official OpenFeature providers, unmodified, against our server: Python, and JavaScript."""

import json
import re
import shutil
import subprocess

import pytest
from openfeature import api as openfeature
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

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


def test_the_javascript_example_of_the_readme_runs(api, tmp_path):
    (example,) = re.findall(r"```javascript\n(.*?)```", section("OpenFeature"), re.DOTALL)
    api.placement("home")
    script = SCRIPT.with_name("readme-openfeature.generated.mjs")  # beside what it imports
    said = "\nconsole.log(JSON.stringify(found)); process.exit(0);\n"
    script.write_text(example.replace("http://localhost:8080", api.url) + said)
    try:
        command = [shutil.which("node"), str(script)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        script.unlink()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    outcomes = api.outcomes(found["flagMetadata"]["eventId"])
    assert [outcome.kind for outcome in outcomes][-3:] == ["activation", "activation", "click"]
