"""A model behind a real OpenAI-compatible server: `transformers serve`, started here."""

import json
import threading
import urllib.request
from contextlib import contextmanager

import pytest

from generator.brief.schema import Brief
from generator.errors import BackendError
from generator.models.base import Sampling
from generator.models.catalog import Endpoint
from generator.models.opening import open_backend
from generator.models.pacing import RateLimiter
from generator.models.remote import RemoteBackend
from generator.writing.texts import generate
from tests.http_stub import answering, body_of

STOP = "e\n"
GREEDY = Sampling(STOP, 10, temperature=0.01, top_p=0.1)
PROMPTS = ["tea for", "coffee that", "a night train to", "tea for"]


def opened(model, url, **options):
    return RemoteBackend(model, Endpoint(url=url, **options), key=None)


@contextmanager
def flaky_proxy(target, refusals):
    """Yields the address of a proxy and the requests that it got, as (path, headers, body).

    Args:
        target: address of the real server, None to answer everything with an empty string.
        refusals: statuses to answer the first requests with, one each; the rest are forwarded.
    """
    waiting, asked, lock = list(refusals), [], threading.Lock()
    told = {"content-type": "application/json", "retry-after-ms": "10"}

    def answer(handler):
        body = body_of(handler)
        with lock:
            headers = {name.lower(): value for name, value in handler.headers.items()}
            asked.append((handler.path, headers, json.loads(body)))
            status = waiting.pop(0) if waiting else None
        if status is not None:
            return status, told, b'{"error": {"message": "not now"}}'
        if target is None:
            return 200, told, b'""'
        sent = {"content-type": "application/json"}
        request = urllib.request.Request(target + handler.path.removeprefix("/v1"), body, sent)
        with urllib.request.urlopen(request, timeout=60) as found:
            return found.status, told, found.read()

    with answering("POST", answer) as url:
        yield f"{url}/v1", asked


@pytest.fixture(scope="module")
def backend(server, tiny):
    return opened(tiny.model, server, concurrency=1)


def test_each_prompt_is_continued_to_its_stop_or_its_limit(backend):
    told = []
    written = backend.complete(PROMPTS, GREEDY, seed=1, progress=told.append)
    assert len(written) == len(PROMPTS)
    assert written[0] == written[3]
    for text, model, adapter, *_ in written:
        assert not set(text[:-1]) & set(STOP)
        assert (model, adapter) == (backend.name, None)
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_the_same_seed_gives_the_same_texts_and_another_does_not(backend):
    warm = Sampling(STOP, 10, temperature=1.5, top_p=1.0)
    one, same, other = (backend.complete(PROMPTS, warm, seed=seed) for seed in (3, 3, 4))
    assert one == same != other
    # each prompt has a seed of its own, so one that comes twice is continued twice
    assert one[0].text != one[3].text


def test_an_adapter_is_asked_for_by_its_own_name(backend, tiny):
    bare = backend.complete(PROMPTS, GREEDY, seed=1)
    adapted = backend.complete(PROMPTS, GREEDY, seed=1, adapter=tiny.merged)
    assert [c.text for c in adapted] != [c.text for c in bare]
    assert {c.adapter for c in adapted} == {tiny.merged}


def test_tokens_and_their_price_are_counted(server, tiny):
    backend = opened(tiny.model, server, price_read=2.0, price_written=10.0, concurrency=2)
    backend.complete(["tea", "coffee"], GREEDY, seed=1)
    usage = backend.usage
    assert (usage.requests, usage.retries) == (2, 0)
    assert usage.prompt_tokens == len("teacoffee")
    assert 0 < usage.completion_tokens <= 20
    expected = (usage.prompt_tokens * 2.0 + usage.completion_tokens * 10.0) / 1e6
    assert usage.cost == pytest.approx(expected)


def test_a_model_that_only_converses_can_be_asked_too(server, tiny):
    with flaky_proxy(server, []) as (url, asked):
        written = opened(tiny.model, url, api="chat").complete(["tea for"], GREEDY, seed=1)
    [(path, _, body)] = asked
    assert path.endswith("/chat/completions")
    assert body["messages"][-1] == {"role": "user", "content": "tea for"}
    assert len(written) == 1


def test_what_fails_for_now_is_tried_again_and_counted(server, tiny):
    with flaky_proxy(server, [429, 500, 503]) as (url, asked):
        backend = opened(tiny.model, url, retries=4, concurrency=1)
        written = backend.complete(["tea for", "coffee"], GREEDY, seed=1)
    assert len(written) == 2
    assert len(asked) == backend.usage.requests == 5
    assert backend.usage.retries == 3


@pytest.mark.parametrize(
    ("statuses", "message"),
    [([429] * 9, "with up to 2 retries: RateLimitError"), ([401], "AuthenticationError")],
)
def test_what_goes_on_failing_is_a_backend_error(server, tiny, statuses, message):
    with flaky_proxy(server, statuses) as (url, asked):
        backend = opened(tiny.model, url, retries=2, concurrency=1)
        with pytest.raises(BackendError, match=message):
            backend.complete(["tea"], GREEDY, seed=1)
    assert len(asked) == (3 if statuses[0] == 429 else 1)


def test_a_server_that_is_not_there_is_named():
    backend = opened("m", "http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(BackendError, match=r"m at http://127\.0\.0\.1:9/v1 failed, .*Connection"):
        backend.complete(["tea"], GREEDY, seed=1)


def test_the_key_is_sent_and_what_not_all_know_only_where_it_is_asked_for(server, tiny):
    with flaky_proxy(server, []) as (url, asked):
        backend = RemoteBackend(tiny.model, Endpoint(url=url), key="secret")
        backend.complete(["tea"], GREEDY, seed=1)
        assert asked[0][1]["authorization"] == "Bearer secret"
        assert not {"min_p", "presence_penalty"} & set(asked[0][2])
    with flaky_proxy(None, [400]) as (url, asked):
        with pytest.raises(BackendError):
            opened("m", url).complete(
                ["tea"], GREEDY._replace(min_p=0.1, presence_penalty=0.5), seed=1
            )
        assert asked[0][2]["min_p"] == 0.1
        assert asked[0][2]["presence_penalty"] == 0.5


def test_a_vllm_server_is_told_to_load_an_adapter():
    with flaky_proxy(None, []) as (url, asked):
        opened("base", url).load_adapter("adcopy-v17", "/adapters/v17")
    [(path, _, body)] = asked
    assert path == "/v1/load_lora_adapter"
    assert body == {"lora_name": "adcopy-v17", "lora_path": "/adapters/v17"}
    with (
        flaky_proxy(None, [404]) as (url, _),
        pytest.raises(BackendError, match="did not load the adapter 'v' from '/v'"),
    ):
        opened("base", url).load_adapter("v", "/v")


def test_local_and_remote_models_are_pooled_in_one_generation(server, tiny, tmp_path):
    file = tmp_path / "models.yaml"
    file.write_text(
        f"text:\n- model: {tiny.model}\n  adapter: {tiny.adapter}\n"
        f"- model: {tiny.merged}\n  endpoint: {{url: '{server}'}}\n"
    )
    brief = Brief(product="tea by post", keywords=("tea",))
    result = generate(brief, open_backend(str(file)), n=1, seed=1)
    wrote = {(c.model, c.adapter) for c in [*result.accepted, *result.rejected]}
    assert wrote == {(tiny.model, tiny.adapter), (tiny.merged, None)}


class Clock:
    def __init__(self):
        self.now, self.slept = 0.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def test_requests_are_let_go_at_even_distances():
    clock = Clock()
    pace = RateLimiter(60, None, clock=clock, sleep=clock.sleep)
    for _ in range(3):
        pace.wait()
    assert clock.slept == [1.0, 1.0]
    clock.now += 10.0
    pace.wait()
    assert clock.slept == [1.0, 1.0]


def test_tokens_that_were_used_are_waited_for():
    clock = Clock()
    pace = RateLimiter(None, 600, clock=clock, sleep=clock.sleep)
    pace.wait()
    pace.spend(30)
    pace.wait()
    assert clock.slept == [3.0]


def test_the_pace_holds_over_threads():
    pace = RateLimiter(60_000, None)
    threads = [threading.Thread(target=pace.wait) for _ in range(20)]
    started = pace._clock()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pace._clock() - started >= 19 * 0.001
