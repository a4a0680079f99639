import re
import signal
import subprocess
import sys
import threading
import time

import msgspec
import pytest
from msgspec import UNSET, Raw
from msgspec.structs import replace

from bandit.features.flatten import creative_features
from generator.brief.schema import Environment, Material, Segment, brief_hash, brief_to_json
from generator.errors import BackendMissing
from generator.worker import GeneratorCounts, run_generator
from generator.writing.requests import creative_id
from streams.catalogue.state import PARTITION, catalogue_message
from streams.checkpoint import exclusive
from streams.errors import LockError, LogUnavailable
from streams.events import (
    AdDetails,
    Creative,
    Placement,
    decode,
)
from streams.events.placement import Rotation
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.bandit.decisions import a_creative
from tests.bandit.histories import catalogue_of
from tests.generator.scripted import Scripted
from tests.generator.shown import interaction, message
from tests.generator.working import (
    BRIEF,
    LINES,
    prepare,
    requested,
    run,
    run_opening,
)


@pytest.fixture
def log(tmp_path):
    opened = SqliteLog(tmp_path / "log.db")
    yield opened
    opened.close()


def test_a_request_is_answered_with_creatives_and_a_count(log, tmp_path):
    catalogue = run(prepare(log, requested()), tmp_path, Scripted(LINES))
    generation = catalogue.generation("g")
    assert (generation.status, generation.accepted, generation.reason) == ("done", 3, None)
    live = catalogue.live("home")
    assert len(live) == 3
    for creative in live:
        assert creative.id == creative_id("g", creative.parts["headline"])
        assert creative.features == creative_features(creative.parts)
        assert creative.timestamp_ms == 1_000
        lineage = creative.lineage
        assert (lineage.generation_id, lineage.model, lineage.seed) == ("g", "scripted", 1)
        assert lineage.brief == brief_hash(BRIEF)
        assert lineage.frame == lineage.prompt.partition(": ")[0]
        frame, _, opening = lineage.prompt.partition(": ")
        assert frame
        assert creative.parts["headline"].startswith(opening)


def test_creatives_go_with_what_the_brief_says_of_their_ads(log, tmp_path):
    ad = AdDetails(final_url="https://example.org/beans", image="beans.png")
    asked = requested(brief=brief_to_json(replace(BRIEF, ad=ad)))
    catalogue = run(prepare(log, asked), tmp_path, Scripted(LINES))
    assert [creative.ad for creative in catalogue.live("home")] == [ad] * 3
    refused = [c for c in catalogue.creatives("home") if c.status == "rejected"]
    assert all(creative.ad is UNSET for creative in refused)


def test_what_it_answered_is_counted(log, tmp_path):
    counts = GeneratorCounts()
    prepare(log, requested("good"), requested("nowhere", placement="away"))
    catalogue = run_opening(log, tmp_path, lambda _: Scripted(LINES), counts=counts)
    assert (counts.done, counts.failed) == (1, 1)
    answer = catalogue.generation("good")
    assert (counts.accepted, counts.rejected) == (answer.accepted, answer.rejected)
    assert min(counts.accepted, counts.rejected) > 0


def test_what_was_refused_is_written_with_its_reason(log, tmp_path):
    catalogue = run(prepare(log, requested()), tmp_path, Scripted(LINES))
    refused = [c for c in catalogue.creatives("home") if c.status == "rejected"]
    assert any(creative.reason.startswith("markup: has 'www.'") for creative in refused)
    assert catalogue.generation("g").rejected >= len(refused) > 0


def test_where_a_person_reviews_creatives_wait(log, tmp_path):
    prepare(log, requested())
    log.append([catalogue_message(Placement(name="home", review=True))])
    catalogue = run(log, tmp_path, Scripted(LINES))
    assert catalogue.live("home") == []
    assert [c.status for c in catalogue.creatives("home")].count("screened") == 3


def test_new_texts_keep_clear_of_what_a_person_rejected(log, tmp_path):
    catalogue = run(prepare(log, requested("a")), tmp_path, Scripted(LINES))
    first, *_ = catalogue.live("home")
    log.append([catalogue_message(replace(first, status="rejected", reason="tone: too loud"))])
    log.append([catalogue_message(requested("b"))])
    catalogue = run(log, tmp_path, Scripted(LINES))
    again = [c for c in catalogue.creatives("home") if c.parts == first.parts and c.id != first.id]
    assert all(creative.status == "rejected" for creative in again)
    assert first.parts not in [creative.parts for creative in catalogue.live("home")]


def test_a_text_refused_as_a_repeat_does_not_undo_the_one_that_got_in(log, tmp_path):
    catalogue = run(prepare(log, requested(n=2)), tmp_path, Scripted([' calm and easy"']))
    texts = [creative.parts["headline"] for creative in catalogue.creatives("home")]
    assert len(texts) == len(set(texts))
    assert len(catalogue.live("home")) == catalogue.generation("g").accepted == 2


def test_a_request_of_which_too_few_pass_is_done_and_says_why(log, tmp_path):
    prepare(log, requested(n=40))
    catalogue = run(log, tmp_path, Scripted([' calm and easy"'] + [' www.beans"'] * 30))
    found = catalogue.generation("g")
    assert found.status == "done"
    assert 0 < found.accepted < 40
    assert found.reason.startswith(f"too_few_passed: {found.accepted} of 320 accepted; refused: ")


def test_a_request_of_which_nothing_passes_has_failed(log, tmp_path):
    catalogue = run(prepare(log, requested()), tmp_path, Scripted([' www.beans"']))
    found = catalogue.generation("g")
    assert (found.status, found.accepted, found.rejected) == ("failed", 0, 32)
    assert found.reason == "too_few_passed: 0 of 32 accepted; refused: markup 32"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"brief": Raw(b'{"product": 7}')}, "brief_invalid: product: Expected `str`, got `int`"),
        ({"placement": "gone"}, "placement_unknown: there is no placement 'gone' any more"),
    ],
)
def test_a_request_that_cannot_be_answered_fails_and_the_next_is_answered(
    log, tmp_path, changes, reason
):
    prepare(log, requested("bad", **changes), requested("good"))
    catalogue = run(log, tmp_path, Scripted(LINES))
    assert catalogue.generation("bad").status == "failed"
    assert catalogue.generation("bad").reason == reason
    assert catalogue.generation("good").status == "done"


def test_what_the_material_shows_is_in_the_features_and_comes_from_its_folder_alone(log, tmp_path):
    shown = Material(kind="image", description="a cup", attributes={"colour": "red"})
    outside = Material(kind="image", file="../log.db")
    briefs = [brief_to_json(replace(BRIEF, material=(m,))) for m in (shown, outside)]
    prepare(log, requested("a", brief=briefs[0]), requested("b", brief=briefs[1]))
    catalogue = run_opening(
        log, tmp_path, lambda _: Scripted(LINES), material=tmp_path / "material"
    )
    assert len(catalogue.live("home")) == 3
    for creative in catalogue.live("home"):
        assert msgspec.json.decode(creative.features)["material"] == {"colour": "red"}
    refused = catalogue.generation("b")
    assert refused.reason.startswith("material_unusable: material[0].file: '../log.db' is outside")


def test_a_segment_is_written_for_by_what_it_clicked(log, tmp_path):
    commuters = Segment(name="commuters", who="commuters", context={"device": "mobile"})
    brief = brief_to_json(replace(BRIEF, segments=(commuters,)))
    texts = {"warm": "Happy warm mornings", "dull": "A bag of beans"}
    known = [a_creative(name, text) for name, text in texts.items()]
    prepare(log, *known, requested(brief=brief))
    log.append([clicked(number, name) for number in range(40) for name in texts])
    backend = Scripted(LINES)
    run(log, tmp_path, backend)
    assert all("clicked on" in prompt and "cheerful" in prompt for prompt in backend.asked)


def clicked(number, name):
    context = Raw(b'{"device":"mobile","user":"u%d"}' % number)
    warm = name == "warm"
    return message(interaction(2 * number + warm, (name,), 0, warm, context=context))


def test_a_channel_s_creative_has_all_its_parts(log, tmp_path):
    push = Environment(channel="push")
    brief = brief_to_json(replace(BRIEF, environment=push))
    lines = [f' {word} and rested"' for word in ("calm", "warm", "slow", "bright", "kind")]
    catalogue = run(prepare(log, requested(brief=brief, n=1)), tmp_path, Scripted(lines))
    [creative] = catalogue.live("home")
    assert set(creative.parts) == set(creative.lineage.parts) == {"title", "body"}
    refused = [c for c in catalogue.creatives("home") if c.status == "rejected"]
    assert {name for c in refused for name in c.parts} <= {"title", "body"}


def test_a_failing_model_fails_the_request(log, tmp_path):
    catalogue = run(prepare(log, requested()), tmp_path, Scripted(None))
    assert catalogue.generation("g").reason == "backend_failed: out of memory"


def test_an_error_nobody_thought_of_fails_its_request_alone(log, tmp_path):
    prepare(log, requested("bad", seed=7), requested("good"))

    class Broken(Scripted):
        def complete(self, prompts, sampling, *, seed, **rest):
            if not self.seeds:
                self.seeds.append(seed)
                raise KeyError("surprise")
            return super().complete(prompts, sampling, seed=seed, **rest)

    catalogue = run(log, tmp_path, Broken(LINES))
    assert catalogue.generation("bad").reason == "internal_error: KeyError: 'surprise'"
    assert catalogue.generation("good").status == "done"


def test_a_model_that_is_missing_fails_requests_until_it_is_there(log, tmp_path):
    prepare(log, requested("first"), requested("second"))
    opened = []

    def open_model(name):
        opened.append(name)
        if len(opened) == 1:
            raise BackendMissing("pip install it")
        return Scripted(LINES)

    catalogue = run_opening(log, tmp_path, open_model)
    assert catalogue.generation("first").reason == "backend_missing: pip install it"
    assert catalogue.generation("second").status == "done"


def test_the_model_is_opened_once_and_only_when_there_is_a_request(log, tmp_path):
    opened = []

    def open_model(name):
        opened.append(name)
        return Scripted(LINES)

    prepare(log)
    ran = time.monotonic() + 0.3
    run_opening(log, tmp_path, open_model, until=lambda: time.monotonic() > ran)
    assert opened == []
    log.append([catalogue_message(requested(name)) for name in ("a", "b")])
    run_opening(log, tmp_path, open_model)
    assert opened == ["smollm2"]


def test_new_texts_differ_from_those_of_earlier_generations(log, tmp_path):
    run(prepare(log, requested("a")), tmp_path, Scripted(LINES))
    log.append([catalogue_message(requested("b"))])
    catalogue = run(log, tmp_path, Scripted(LINES))
    texts = [creative.parts["headline"] for creative in catalogue.live("home")]
    assert len(texts) == len(set(texts))
    assert any(
        creative.reason.startswith("duplicate: ")
        for creative in catalogue.creatives("home")
        if creative.lineage.generation_id == "b" and creative.reason
    )


def test_creatives_left_by_an_append_that_was_cut_short_stay_as_they_are(log, tmp_path):
    whole = run(prepare(MemoryLog(), requested()), tmp_path, Scripted(LINES))
    first, *_ = whole.live("home")
    paused = replace(first, status="paused")
    catalogue = run(prepare(log, requested(), paused), tmp_path, Scripted(LINES))
    assert catalogue.creative("home", first.id) == paused
    assert {c.id for c in catalogue.creatives("home")} == {c.id for c in whole.creatives("home")}
    assert len(catalogue.live("home")) == 2


def test_a_second_generator_on_the_same_data_is_refused(log, tmp_path):
    with exclusive(tmp_path, "generator"), pytest.raises(LockError):
        run_generator(prepare(log), tmp_path, model="smollm2", stop=threading.Event())


def test_a_log_that_is_out_of_reach_for_a_while_is_waited_for(tmp_path):
    class Flaky(MemoryLog):
        refusals = 2

        def append(self, messages):
            if self.refusals and b"done" in messages[-1].value:
                self.refusals -= 1
                raise LogUnavailable("busy")
            return super().append(messages)

    catalogue = run(prepare(Flaky(), requested()), tmp_path, Scripted(LINES))
    assert catalogue.generation("g").status == "done"
    assert len(catalogue.live("home")) == 3


def test_stopped_in_the_middle_it_leaves_the_request_for_the_next_time(log, tmp_path):
    prepare(log, requested(n=9))
    asked = threading.Event()

    class Slow(Scripted):
        def complete(self, prompts, sampling, **rest):
            asked.set()
            time.sleep(0.3)
            return super().complete(prompts, sampling, **rest)

    catalogue = run(log, tmp_path, Slow([' www.beans"']), until=asked.is_set)
    assert catalogue.generation("g").status == "requested"
    assert catalogue.creatives("home") == []


@pytest.mark.model
def test_killed_in_the_middle_and_started_again_it_writes_the_same_creatives_once(
    log, tmp_path, backend
):
    request = requested(n=4)
    whole = run(prepare(MemoryLog(), request), tmp_path / "whole", backend)
    prepare(log, request)
    command = [sys.executable, "-m", "tests.generator.worker_process"]
    process = subprocess.Popen(
        [*command, str(tmp_path / "log.db"), str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if re.search(r"model .* is loaded", line):
            break
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert catalogue_of(log).generation("g").status == "requested"

    catalogue = run(log, tmp_path, backend)
    assert catalogue.generation("g") == whole.generation("g")
    assert catalogue.creatives("home") == whole.creatives("home")
    assert len(catalogue.live("home")) == 4
    events = [decode(record.value) for record in log.read(PARTITION, 0)]
    written = [event for event in events if isinstance(event, Creative)]
    assert len(written) == len({creative.id for creative in written})


def test_a_placement_with_a_rotation_fills_itself(log, tmp_path):
    create_topics(log)
    rotation = Rotation(brief=brief_to_json(BRIEF), live=2, batch=2)
    log.append([catalogue_message(Placement(name="home", rotation=rotation))])
    catalogue = run_opening(
        log,
        tmp_path / "checkpoints",
        lambda _: Scripted(LINES),
        until=lambda: len(catalogue_of(log).live("home")) >= 2,
    )
    live = catalogue.live("home")
    assert len(live) == 2
    [generation] = catalogue.generations("home")
    assert generation.status == "done"
    assert {c.lineage.generation_id for c in live} == {generation.id}
