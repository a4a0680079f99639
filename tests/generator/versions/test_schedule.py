"""Taught by itself: when it is due, in processes with limits, one round at a time."""

import json
import subprocess
import sys
import threading

import msgspec
import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from generator.commands.main import main
from generator.data.dataset import read_dataset
from generator.files import files_hash
from generator.models.base import SMOLLM2
from generator.models.opening import ADAPTER, MANIFEST, WEIGHTS, model_folder, read_manifest
from generator.reward.model import load_reward_model
from generator.settings import CACHE
from generator.training.config import Manifest
from generator.versions.schedule import (
    DONE,
    PRACTISED,
    REWARD,
    Past,
    Schedule,
    Teacher,
    due,
    step_limits,
)
from streams.catalogue.state import catalogue_message
from streams.events import INTERACTIONS
from streams.events.creatives import GeneratorVersion
from streams.logs.base import Message, TopicPartition
from streams.logs.sqlite import SqliteLog
from tests.bandit.histories import catalogue_of
from tests.generator.data.made_log import RATES, made_log


@pytest.fixture
def log(tmp_path):
    """A log with enough traffic that some texts are surely better than others."""
    opened = SqliteLog(tmp_path / "log.db")
    made_log(products=("coffee", "tea", "soup", "bread", "jam"), shown=4000, log=opened)
    yield opened
    opened.close()


def teacher(log, folder, stop=None, **schedule):
    schedule = Schedule(new_pairs=1, **schedule)
    return Teacher(
        log, f"sqlite:///{folder / 'log.db'}", folder, schedule, stop or threading.Event()
    )


def trained_round(folder):
    """Returns the folder of a round whose training is done, but for its adapter's weights."""
    here = folder / "generator" / "rounds" / "000001"
    (here / "run").mkdir(parents=True)
    (here / "past.json").write_bytes(msgspec.json.encode(Past(1, 1)))
    (here / "run" / "manifest.json").write_text("{}")
    return here


@pytest.mark.parametrize(
    ("pairs", "hours", "why"),
    [(15, 0, "10 more"), (14, 0, ""), (14, 25, "25.0 hours"), (5, 25, ""), (0, 0, "")],
)
def test_it_is_due_by_evidence_or_by_clock(pairs, hours, why):
    schedule = Schedule(new_pairs=10, every_hours=24.0)
    found = due(schedule, Past(5, 7), pairs, 7 + hours * 3_600_000)
    assert why in found
    assert bool(why) == bool(found)


def test_a_round_trains_judges_and_keeps_the_verdict(log, tmp_path, ground, caplog):
    gate = tmp_path / "gate.json"
    gate.write_text('{"sampling": {"samples": 2, "most_new_tokens": 8}}')
    here = teacher(log, tmp_path, model=ground.model, gate=str(gate), practise=2).turn()
    assert (here / "rows" / "card.json").exists()
    assert (here / "run" / "manifest.json").exists()
    # The tiny model writes noise, and no training of this length makes sense of it.
    assert "practise ended with code 2" in caplog.text
    assert "its practice failed; judged as it was trained" in caplog.text
    assert not (here / PRACTISED).exists()
    assert (here / DONE).read_text() == "3"
    [version] = catalogue_of(log).generator_versions()
    assert version.status == "rejected"
    assert "pass_rate" in version.reason
    assert load_reward_model(here / REWARD, CACHE).reader.name == "wordllama"
    why = {row.rule: row.why for row in version.gate}
    assert why["reward_gain"] != "not counted: there is no reward model"
    assert "of 8 texts" in why["no_new_harm"], "the gate is the one that was asked for"
    assert teacher(log, tmp_path, model=ground.model).turn() is None, "nothing is new"


def test_too_little_for_a_reward_model_is_no_failure(tmp_path, caplog):
    caplog.set_level("INFO")
    opened = SqliteLog(tmp_path / "log.db")
    made_log(shown=100, log=opened)
    here = trained_round(tmp_path)
    assert teacher(opened, tmp_path).turn() == here
    assert not (here / REWARD).exists()
    assert "too little traffic for a reward model yet" in caplog.text
    assert "reward-model ended with code" not in caplog.text
    # It goes on to the gate, which wants a real adapter.
    assert "adopt ended with code 2" in caplog.text
    opened.close()


def test_without_its_reward_model_a_version_is_not_judged(log, tmp_path, caplog):
    here = trained_round(tmp_path)
    assert teacher(log, tmp_path, reader="no-such-reader").turn() == here
    assert (here / DONE).read_text() == "2"
    assert "reward-model ended with code 2" in caplog.text
    assert f"copyloop generator adopt {here / 'run'}" in caplog.text
    assert catalogue_of(log).generator_versions() == []


@pytest.mark.model
def test_a_trained_version_practises_and_that_is_judged(log, tmp_path, backend):
    """SmolLM2 with an adapter that changes nothing yet, since the tiny model's texts never pass."""
    here, gate = trained_round(tmp_path), tmp_path / "gate.json"
    gate.write_text('{"sampling": {"samples": 2, "most_new_tokens": 8}}')
    bare = AutoModelForCausalLM.from_pretrained(model_folder(SMOLLM2))
    get_peft_model(bare, LoraConfig(r=2)).save_pretrained(here / "run" / ADAPTER)
    config = tmp_path / "train.json"
    config.write_text('{"adapter": {"rank": 4}, "patience": 2}')
    schedule = {"practise": 8, "gate": str(gate), "config": str(config)}
    assert teacher(log, tmp_path, **schedule).turn() == here
    rows = read_dataset(here / "own")[1].rows["imitate/train"]
    made = read_manifest(here / PRACTISED / MANIFEST, Manifest)
    assert made.rows["imitate/train"] == rows > 0
    assert (made.config.method, made.config.parent) == ("sft", str(here / "run" / ADAPTER))
    [version] = catalogue_of(log).generator_versions()
    assert json.loads(bytes(version.manifest))["adapter_sha256"] == made.adapter_sha256
    assert files_hash([here / "run" / ADAPTER / WEIGHTS]) == made.parent_sha256
    assert made.parent_sha256 != made.adapter_sha256


def test_nobody_practises_by_a_reward_model_that_is_not_trusted(tmp_path, caplog):
    caplog.set_level("INFO")
    opened = SqliteLog(tmp_path / "log.db")
    same = dict.fromkeys(RATES, 0.2)
    made_log(
        products=("coffee", "tea", "soup", "bread", "jam", "rice"),
        shown=1500,
        rates=same,
        log=opened,
    )
    here = trained_round(tmp_path)
    assert teacher(opened, tmp_path, practise=2).turn() == here
    assert (here / REWARD).exists()
    assert "no practice, its reward model is not trusted" in caplog.text
    assert not (here / "own").exists()
    opened.close()


def test_a_log_that_hardly_grew_is_not_read_again(tmp_path, caplog):
    caplog.set_level("INFO")
    opened = SqliteLog(tmp_path / "log.db")
    made_log(shown=30, log=opened)
    looking, by_clock = teacher(opened, tmp_path), teacher(opened, tmp_path, every_hours=1.0)
    looks = []
    for _ in range(2):
        for each in (looking, by_clock):
            assert each.turn() is None
        looks.append(caplog.text.count("nothing to teach yet"))
    assert looks == [2, 3], "the clock has struck for the one, so it looks each time"
    at = TopicPartition(INTERACTIONS, 0)
    [again, *_] = opened.read(at, 0)
    opened.append([Message(INTERACTIONS, again.key, again.value, partition=0)] * 10)
    assert looking.turn() is None
    assert caplog.text.count("nothing to teach yet") == 4
    opened.close()


def test_one_that_is_stopped_goes_on_later(log, tmp_path):
    stop = threading.Event()
    stop.set()
    here = teacher(log, tmp_path, stop, model="no-such-model").turn()
    assert (here / "past.json").exists()
    assert not (here / DONE).exists()
    again = teacher(log, tmp_path, stop, model="no-such-model").turn()
    assert again == here


def test_a_round_that_was_killed_while_its_rows_were_written_is_given_up(log, tmp_path):
    half = tmp_path / "generator" / "rounds" / "000001" / "rows"
    half.mkdir(parents=True)
    assert teacher(log, tmp_path).turn() == half.parent
    assert (half.parent / DONE).read_text() == "-1"


def test_nothing_is_taught_while_a_version_is_on_trial(log, tmp_path):
    canary = GeneratorVersion(id="v", status="canary", timestamp_ms=1)
    log.append([catalogue_message(canary)])
    assert teacher(log, tmp_path).turn() is None


def test_a_step_has_its_limits_and_the_lowest_priority():
    schedule = Schedule(cpu_seconds=77, memory_gb=1.5)
    program = (
        "import os, resource as r; print(os.nice(0), r.getrlimit(r.RLIMIT_CPU)[0], "
        "r.getrlimit(r.RLIMIT_DATA)[0])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=step_limits(schedule),
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["19", "77", str(int(1.5 * 2**30))]


@pytest.mark.parametrize(
    ("option", "code"), [("--gate", "gate_unable"), ("--config", "training_config_invalid")]
)
def test_a_file_that_cannot_be_is_told_at_the_start(tmp_path, option, code, monkeypatch, capsys):
    file = tmp_path / "settings.yaml"
    file.write_text("no_such_field: 1")
    words = ["generator", "teach", "--once", option, str(file), "--data", str(tmp_path / "data")]
    monkeypatch.setattr("sys.argv", ["copyloop", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"{code}: " in (said := capsys.readouterr().err)
    assert "no_such_field" in said
