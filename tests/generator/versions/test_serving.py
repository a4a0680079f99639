"""Who answers a request: the champion, the version that was named, or the bare model."""

import pytest

from generator.brief.prompts import plain_prompt
from generator.errors import BackendError, VersionMissing
from generator.models.catalog import Endpoint
from generator.models.remote import RemoteBackend
from generator.versions.store import Versions, version_resolver
from streams.catalogue.state import Catalogue, catalogue_message
from streams.events import Generation
from streams.events.creatives import GeneratorVersion
from streams.logs.sqlite import SqliteLog
from tests.generator.models.vllm_servers import BASE, StandIn
from tests.generator.scripted import Scripted
from tests.generator.working import BRIEF, LINES, prepare, requested, run_opening


@pytest.fixture
def versions(finished, tmp_path):
    """A folder of versions, with one in it."""
    found = Versions(tmp_path / "versions")
    return found, found.adopt(finished())


def catalogue(*events):
    found = Catalogue()
    for event in events:
        found.apply(event, 1)
    return found


def version(name, status="live"):
    return GeneratorVersion(id=name, status=status, timestamp_ms=1)


def request(**changes):
    return Generation(
        id="g", placement="home", brief=b"{}", n=1, seed=1, status="requested", timestamp_ms=1,
        **changes,
    )  # fmt: skip


@pytest.fixture
def vllm():
    with StandIn().running() as server:
        yield server


def remote(vllm):
    return RemoteBackend(BASE, Endpoint(url=vllm.url, retries=0), key=None)


def test_without_a_champion_the_bare_model_writes(versions):
    author = version_resolver(lambda: Scripted(LINES), versions[0])
    assert author(catalogue(version("a", "canary")), request()) == (None, None)


def test_the_champion_writes_with_its_folder(versions):
    store, adopted = versions
    author = version_resolver(lambda: Scripted(LINES), store)
    assert author(catalogue(version(adopted.id)), request()) == (adopted.id, str(adopted.adapter))


def test_a_version_that_was_withdrawn_writes_no_more(versions):
    store, adopted = versions
    author = version_resolver(lambda: Scripted(LINES), store)
    known = catalogue(version(adopted.id, "rejected"))
    with pytest.raises(VersionMissing, match="is rejected, so it writes no more"):
        author(known, request(version=adopted.id))
    with pytest.raises(VersionMissing, match="copy its folder there"):
        author(catalogue(version("elsewhere")), request())


def test_a_server_is_told_of_a_version_once_by_its_own_name(versions, vllm):
    store, adopted = versions
    backend = remote(vllm)
    author = version_resolver(lambda: backend, store)
    for _ in range(2):
        assert author(catalogue(version(adopted.id)), request()) == (adopted.id, adopted.id)
    loaded = {"lora_name": adopted.id, "lora_path": str(adopted.adapter)}
    assert vllm.asked == [("/v1/load_lora_adapter", loaded)]
    # after a restart the server has it already
    again = version_resolver(lambda: backend, store)(catalogue(version(adopted.id)), request())
    assert again == (adopted.id, adopted.id)
    assert len(vllm.asked) == 2


def test_a_server_is_not_asked_to_load_what_is_no_lora(finished, tmp_path, vllm):
    store = Versions(tmp_path / "versions")
    adopted = store.adopt(finished(shape='{"peft_type": "PREFIX_TUNING"}'))
    author = version_resolver(lambda: remote(vllm), store)
    with pytest.raises(BackendError, match="is a PREFIX_TUNING adapter, and the server loads LoRA"):
        author(catalogue(version(adopted.id)), request())
    assert not vllm.asked
    author = version_resolver(lambda: Scripted(LINES), store)
    assert author(catalogue(version(adopted.id)), request()) == (adopted.id, str(adopted.adapter))


def test_a_server_that_refuses_is_told_on(versions, vllm):
    store, adopted = versions
    (store._folder / adopted.id).rename(store._folder / "moved")
    author = version_resolver(lambda: remote(vllm), store)
    with pytest.raises(BackendError, match="No adapter found"):
        author(catalogue(version(adopted.id)), request())


def test_the_generator_asks_a_champion_plainly_and_names_it(versions, tmp_path):
    _, adopted = versions
    backend = Scripted(['www.beans"', 'Coffee for calm mornings"', 'Fresh coffee at your door"'])
    log = SqliteLog(tmp_path / "log.db")
    prepare(log, requested(n=2))
    log.append([catalogue_message(version(adopted.id))])
    found = run_opening(
        log, tmp_path / "checkpoints", lambda _: backend, versions=tmp_path / "versions"
    )
    assert found.generation("g").status == "done"
    assert set(backend.asked) == {plain_prompt(BRIEF)}
    written = found.creatives("home")
    assert {creative.lineage.adapter for creative in written} == {adopted.id}
    assert {creative.status for creative in written} == {"live", "rejected"}
    assert written[-1].lineage.frame == "plain"
    log.close()


def test_a_request_whose_version_is_gone_fails_with_why(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    prepare(log, requested(version="gone"))
    found = run_opening(log, tmp_path / "checkpoints", lambda _: Scripted(LINES))
    assert found.generation("g").reason == (
        "version_missing: version gone is unknown, so it writes no more"
    )
    log.close()
