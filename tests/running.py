"""Real processes for tests: started, waited for, and ended."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager

from bandit.client import Client, ClientError

COPYLOOP = [sys.executable, "-m", "generator.commands.main"]
"""What starts a command line of copyloop's, whether it is installed or not."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def copyloop_up(data, *arguments, ui=("--no-ui",)):
    """`copyloop up` with its API ready; yields the URL. Ends it with SIGTERM, and sees it obey."""
    port = free_port()
    command = [sys.executable, "-m", "bandit", "up", "--data", str(data), "--port", str(port), *ui]
    with (data / "up.log").open("wb") as output:
        process = subprocess.Popen([*command, *arguments], stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        code = process.wait(timeout=60)
    assert code == 0, (data / "up.log").read_text()


def wait_until_ready(url, process, *, seconds=60):
    client = Client(url)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.request("GET", "/health")
        except ClientError:
            time.sleep(0.1)
        else:
            client.close()
            return
    raise AssertionError(f"{url} did not become ready; exit code {process.poll()}")
