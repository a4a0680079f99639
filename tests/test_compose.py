"""What `docker compose up` starts by default, run without Docker."""

import shlex
import signal
import subprocess

import httpx
import yaml

from tests.readme import ROOT
from tests.running import COPYLOOP, free_port, wait_until_ready

SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def test_one_container_alone_serves_api_and_dashboard(tmp_path):
    (service,) = (each for each in SERVICES.values() if "profiles" not in each)
    port, ui_port = free_port(), free_port()
    command = service["command"]
    for there, here in {
        "copyloop up": f"{' '.join(COPYLOOP)} up",
        "/data": str(tmp_path),
        "0.0.0.0": "127.0.0.1",  # what containers listen on
        "8080": str(port),
        "8081": str(ui_port),
    }.items():
        command = command.replace(there, here)
    with (tmp_path / "said.txt").open("wb") as output:
        process = subprocess.Popen(shlex.split(command), stdout=output, stderr=output, cwd=ROOT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process)
        assert httpx.get(f"{url}/health").json()["status"] == "ok"
        assert httpx.get(f"http://127.0.0.1:{ui_port}/ui", follow_redirects=True).is_success
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, (tmp_path / "said.txt").read_text()
    ports = [each.split(":")[-1] for each in service["ports"]]
    assert ports == ["8080", "8081"]
    assert {each.split(":")[0] for each in service["ports"]} == {"127.0.0.1"}
