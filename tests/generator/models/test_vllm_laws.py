"""What holds of a vLLM server, of the real one (make vllm) and of the one that stands in for it."""

import pytest

from generator.brief.instructions import Wanted, task_of
from generator.brief.schema import Brief
from generator.errors import AdapterRefused, BackendError
from generator.models.base import Sampling, ToldPrompt
from generator.models.catalog import Endpoint
from generator.models.opening import open_backend
from generator.models.remote import RemoteBackend
from generator.versions.store import Versions, version_resolver
from tests.generator.models.vllm_servers import (
    BASE,
    MOST_RANK,
    START_SECONDS,
    StandIn,
    Vllm,
    real_vllm,
    write_adapter,
)
from tests.generator.versions.test_serving import catalogue, request, version

SAMPLING = Sampling('"\n', 12, temperature=0.9)
PROMPTS = ['Product: tea\nHeadline: "', 'Product: a night train\nHeadline: "']
KINDS = [
    "stand-in",
    pytest.param(
        "vllm",
        marks=[
            pytest.mark.model,
            pytest.mark.timeout(2 * START_SECONDS),
            pytest.mark.skipif(real_vllm() is None, reason="no vLLM is installed: make vllm"),
        ],
    ),
]


@pytest.fixture(params=KINDS, scope="module")
def server(request, tmp_path_factory):
    if request.param == "stand-in":
        with StandIn().running() as standin:
            yield standin
        return
    real = Vllm(tmp_path_factory.mktemp("vllm"))
    try:
        yield real
    finally:
        real.stop()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of adapters by name: two that fit, and one whose rank does not."""
    made = tmp_path_factory.mktemp("adapters")
    ranks = {"one": 4, "two": 8, "wide": 2 * MOST_RANK}
    return {
        name: write_adapter(made / name, rank=rank, seed=seed)
        for seed, (name, rank) in enumerate(ranks.items())
    }


def backend(server, **options):
    settings = {"concurrency": 2, "retries": 3} | options
    return RemoteBackend(BASE, Endpoint(url=server.url, **settings), key=None)


def texts(completions):
    return [completion.text for completion in completions]


def test_the_same_seed_gives_the_same_texts_and_tokens_are_counted(server):
    model = backend(server, concurrency=1, price_written=1e6)
    first, again, other = (model.complete(PROMPTS, SAMPLING, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert texts(first) != texts(other)
    assert model.usage.requests == 6
    assert 0 < model.usage.completion_tokens == round(model.usage.cost) <= 6 * 12
    assert model.usage.uncounted == 0


def test_an_adapter_s_folder_is_loaded_by_its_hash_and_writes(server, folders):
    model, folder = backend(server), str(folders["one"])
    before = server.adapters()
    adapted = model.complete(PROMPTS, SAMPLING, seed=1, adapter=folder)
    assert {completion.adapter for completion in adapted} == {folder}
    assert texts(adapted) != texts(model.complete(PROMPTS, SAMPLING, seed=1))
    [name] = server.adapters() - before
    assert (len(name), set(name) <= set("0123456789abcdef")) == (16, True)
    # another client finds it there
    assert texts(backend(server).complete(PROMPTS, SAMPLING, seed=1, adapter=folder)) == texts(
        adapted
    )


def test_a_relative_folder_is_sent_absolute(server, folders, monkeypatch):
    monkeypatch.chdir(folders["two"].parent)
    model = backend(server)
    model.load_adapter("relative", "two")
    assert len(model.complete(PROMPTS, SAMPLING, seed=1, adapter="relative")) == 2
    assert "relative" in server.adapters()
    model.load_adapter("relative", "two")  # what it has is no failure


@pytest.mark.parametrize(
    ("name", "folder", "message"),
    [
        (BASE, "one", "conflicts with a served base model"),
        ("gone", "gone", r"No adapter found.*The folder has to be where the server sees it"),
        ("wide", "wide", r"rank 32 is greater.*Start vLLM with --max-lora-rank 32 or more"),
    ],
)
def test_a_refusal_is_for_good_and_said_at_once(server, folders, name, folder, message):
    model = backend(server)
    path = folders.get(folder, folders["one"].parent / folder)
    with pytest.raises(AdapterRefused, match=message) as refused:
        model.load_adapter(name, str(path))
    assert not refused.value.retriable
    assert model.usage.requests == 1


def test_a_model_that_is_not_there_is_said_at_once(server):
    model = RemoteBackend("nobody", Endpoint(url=server.url, retries=3), key=None)
    with pytest.raises(BackendError, match="The model `nobody` does not exist") as failed:
        model.complete(PROMPTS[:1], SAMPLING, seed=1)
    assert not failed.value.retriable
    assert model.usage.requests == 1


def test_a_file_of_models_pools_versions_and_adapters(server, folders, tmp_path):
    """Several entries, one with an adapter of its own, and then a version for all of them."""
    file = tmp_path / "models.yaml"
    entry = f"- model: {BASE}\n  endpoint: {{url: '{server.url}', retries: 0}}\n"
    file.write_text(f"text:\n{entry}{entry}  adapter: {folders['two']}\n")
    pool = open_backend(str(file))
    written = pool.complete(PROMPTS * 2, SAMPLING, seed=1)
    assert [c.adapter for c in written] == [None, str(folders["two"])] * 2

    trained = tmp_path / "trained"
    write_adapter(trained / "adapter", seed=9)
    (trained / "manifest.json").write_text("{}")
    store = Versions(tmp_path / "versions")
    adopted = store.adopt(trained)
    active = version_resolver(lambda: pool, store)(catalogue(version(adopted.id)), request())
    assert active == (adopted.id, adopted.id)
    assert adopted.id in server.adapters()
    with_version = pool.complete(PROMPTS * 2, SAMPLING, seed=1, adapter=active.adapter)
    assert {c.adapter for c in with_version} == {adopted.id}
    assert texts(with_version) != texts(written)


def test_a_chat_is_told_its_task_and_answers_with_whole_texts(server):
    brief = Brief(product="tea by post", facts=("picked by hand",), keywords=("tea",))
    task = task_of(brief, Wanted("line", 40))
    model = backend(server, api="chat", texts_per_request=2)
    prompts = [ToldPrompt(PROMPTS[0], task)] * 4
    written = model.complete(prompts, Sampling('"\n', 16, temperature=0.5), seed=1)
    assert len(written) == 4
    whole = [completion for completion in written if completion.withheld is None]
    assert whole
    assert all(c.whole and c.text and "{" not in c.text for c in whole)


def test_a_server_that_started_again_is_told_once_more(server, folders):
    model, folder = backend(server), str(folders["one"])
    model.load_adapter("kept", folder)
    before = texts(model.complete(PROMPTS * 2, SAMPLING, seed=1, adapter="kept"))
    server.restart()
    assert "kept" not in server.adapters()
    after = model.complete(PROMPTS * 2, SAMPLING, seed=1, adapter="kept")
    assert texts(after) == before
    assert "kept" in server.adapters()
    # by folder, too
    model.complete(PROMPTS, SAMPLING, seed=1, adapter=folder)


def told_of_nothing(server, folders):
    with pytest.raises(AdapterRefused, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"):
        backend(server).load_adapter("v", str(folders["one"]))


def test_a_server_that_takes_no_adapters_is_told_by_its_setting(folders):
    with StandIn(updating=False).running() as standin:
        told_of_nothing(standin, folders)


@pytest.mark.model
@pytest.mark.timeout(2 * START_SECONDS)
@pytest.mark.skipif(real_vllm() is None, reason="no vLLM is installed: make vllm")
def test_so_is_a_real_one(folders, tmp_path):
    real = Vllm(tmp_path, updating=False)
    try:
        told_of_nothing(real, folders)
    finally:
        real.stop()
