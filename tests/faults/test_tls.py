"""API and page over TLS, killed and begun again: the visitor's session and what was said stay."""

import contextlib
import os
import re
import signal
import ssl
import subprocess
import time

import httpx
import pytest

from streams.events import DECISIONS
from tests.bandit.service.auth.test_edge import certificate
from tests.faults.looping import assert_kept, logged_ids, opened
from tests.running import COPYLOOP, free_port

START_SECONDS = 60.0


class Served:
    """An API and its page, each a process, over TLS with a certificate of their own."""

    def __init__(self, data):
        self.data = data
        self.ports = {"api": free_port(), "ui": free_port()}
        self.processes = {}
        self.authority = certificate("authority", data)
        self.renew()
        made = self.command("keys", "create", "me", "--scope", "admin", "--data", data)
        self.key = made.stdout.strip()
        self.page = None

    def renew(self):
        """Replaces the certificate that both have; who runs has the old one until a restart."""
        certificate("server", self.data, self.authority)
        self.trust = ssl.create_default_context(cafile=self.authority[0])
        self.trust.verify_flags &= ~ssl.VERIFY_X509_STRICT

    @property
    def environment(self):
        return os.environ | {
            "COPYLOOP_TLS_CERT": str(self.data / "server.pem"),
            "COPYLOOP_TLS_KEY": str(self.data / "server.key"),
            "COPYLOOP_TLS_KEY_PASSWORD": "open sesame",
        }

    def command(self, *words):
        line = [*COPYLOOP, *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, check=True)

    def url(self, name):
        return f"https://127.0.0.1:{self.ports[name]}"

    def start(self, name):
        words = {
            "api": ("bandit", "serve", "--data", self.data),
            "ui": ("bandit", "dashboard", "--api", self.url("api")),
        }[name]
        line = [*COPYLOOP, *map(str, words), "--port", str(self.ports[name])]
        with (self.data / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                line, env=self.environment, stdout=output, stderr=output
            )
        path = "/health/live" if name == "api" else "/ui/sign-in"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.processes[name].poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(self.url(name) + path, verify=self.trust).status_code == 200:
                    return
            time.sleep(0.1)
        pytest.fail((self.data / f"{name}.log").read_text())

    def kill(self, name):
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes.pop(name).wait()

    def sign_in(self):
        """Signs in as a browser does; the session is in the client's cookies."""
        self.page = httpx.Client(base_url=self.url("ui"), verify=self.trust, follow_redirects=True)
        form = self.page.get("/ui/sign-in").text
        (csrf,) = re.findall(r'name="csrf" value="([^"]+)"', form)
        data = {"csrf": csrf, "credential": self.key, "next": "/ui"}
        headers = {"origin": self.url("ui")}
        return self.page.post("/ui/sign-in", data=data, headers=headers)

    def seen(self):
        """The status and the text of the page that lists the placements."""
        answer = self.page.get("/ui")
        return answer.status_code, answer.text, str(answer.url)


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path)
    try:
        served.start("api")
        served.start("ui")
        yield served
    finally:
        if served.page is not None:
            served.page.close()
        for name in list(served.processes):
            served.kill(name)


def ask(served, ids):
    """Ranks these events over TLS; returns those that were answered."""
    done = []
    headers = {"x-api-key": served.key}
    with httpx.Client(base_url=served.url("api"), verify=served.trust, headers=headers) as client:
        for event_id in ids:
            body = {
                "event_id": event_id,
                "actions": [{"id": "a", "features": {}}, {"id": "b", "features": {}}],
            }
            with contextlib.suppress(httpx.TransportError):
                if client.post("/v1/placements/home/rank", json=body).is_success:
                    done.append(event_id)
    return done


def test_a_session_over_tls_outlives_kills_of_api_and_page_and_a_new_certificate(served):
    headers = {"x-api-key": served.key}
    made = httpx.put(
        f"{served.url('api')}/v1/placements/home", json={}, headers=headers, verify=served.trust
    )
    assert made.status_code == 201
    assert served.sign_in().status_code == 200
    cookies = served.page.cookies.jar
    assert all(cookie.secure for cookie in cookies), "TLS alone carries them"
    assert "home" in served.seen()[1]
    answered = ask(served, [f"e{n}" for n in range(20)])
    assert len(answered) == 20

    served.kill("api")
    status, text, url = served.seen()
    assert status == 503
    assert "no answer" in text
    assert "sign-in" not in url, "the visitor stays signed in"
    served.start("api")
    assert served.seen()[0] == 200

    served.kill("ui")
    with pytest.raises(httpx.TransportError):
        served.page.get("/ui")
    served.start("ui")
    assert served.seen()[0] == 200

    # The API has a new certificate, and the page trusts the old one until it is started again.
    served.renew()
    served.kill("api")
    served.start("api")
    status, text, url = served.seen()
    assert (status, "sign-in" in url) == (503, False)
    assert "certificate" in text.lower()
    served.kill("ui")
    served.start("ui")
    status, text, url = served.seen()
    assert (status, "sign-in" in url) == (200, False)
    assert "home" in text

    answered += ask(served, ["after"])
    with opened(served.data) as log:
        assert sorted(logged_ids(log, DECISIONS)) == sorted(answered)
        assert_kept(log, (answered, []))


def test_a_caller_without_tls_or_with_another_authority_gets_nothing(served, tmp_path):
    plain = f"http://127.0.0.1:{served.ports['api']}/health/live"
    with pytest.raises(httpx.TransportError):
        httpx.get(plain)
    (tmp_path / "other").mkdir()
    other = certificate("authority", tmp_path / "other")
    stranger = ssl.create_default_context(cafile=other[0])
    with pytest.raises(httpx.TransportError, match="certificate"):
        httpx.get(served.url("api") + "/health/live", verify=stranger)
    # Neither has stopped the service.
    assert httpx.get(served.url("api") + "/health/live", verify=served.trust).status_code == 200
