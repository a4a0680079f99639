"""The client's own distribution, as it is built and used where there is no server's code."""

import json
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

DISTRIBUTION = Path(__file__).parents[3] / "deploy" / "client"

USED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from copyloop_client import ApiError, Batching, Client, Offline
offline = Offline(spool=sys.argv[4], baselines={})
with Client(sys.argv[2], batching=Batching(), offline=offline) as client:
    decision = client.rank(sys.argv[3], {"device": "phone"})
    client.outcome(sys.argv[3], decision.event_id, "click")
    try:
        client.rank("none", {})
    except ApiError as error:
        code = error.code
ours = [name for name in sys.modules if name.split(".")[0] in ("bandit", "streams", "generator")]
print(json.dumps({"event_id": decision.event_id, "code": code, "ours": ours}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=DISTRIBUTION, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (built,) = folder.glob("copyloop_client-*.whl")
    return zipfile.ZipFile(built)


def test_it_needs_httpx_and_msgspec_alone(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    needed = message_from_bytes(wheel.read(metadata)).get_all("Requires-Dist")
    assert [need.split(">")[0].split("<")[0] for need in needed] == ["httpx", "msgspec"]
    assert "copyloop_client/py.typed" in wheel.namelist()


def test_it_is_one_package_of_its_own(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"copyloop_client"}


def test_it_talks_to_the_api_without_the_servers_code(wheel, api, tmp_path):
    wheel.extractall(tmp_path / "site")
    name = api.placement("distribution")
    used = subprocess.run(
        [sys.executable, "-c", USED, tmp_path / "site", api.url, name, tmp_path / "spool"],
        capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    assert not used.stderr
    said = json.loads(used.stdout)
    assert said["ours"] == []
    assert said["code"] == "placement_not_found"
    assert [outcome.kind for outcome in api.outcomes(said["event_id"])] == ["click"]
