"""The whole path on a real language model: rows, training, gate, promotion, writing, rollback."""

import json

import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from generator.brief.prompts import plain_prompt
from generator.brief.schema import Brief, brief_hash, brief_to_json
from generator.commands.main import generator_app as app
from generator.data.dataset import Dataset, EvidenceThresholds, Imitate, Prefer, write_dataset
from generator.models.opening import open_backend
from generator.versions.gate import GateConfig
from generator.writing.texts import SamplingConfig
from streams.catalogue.state import catalogue_message
from streams.logs.sqlite import SqliteLog
from tests.bandit.histories import catalogue_of
from tests.generator.working import prepare, requested, run_opening

PRODUCTS = {
    "wool socks": ("warm feet", "soft wool", "long walks", "cold floors"),
    "a city map": ("every street", "hidden corners", "easy routes", "the old town"),
    "green tea": ("quiet mornings", "fresh leaves", "slow evenings", "a clear head"),
    "desk lamps": ("bright desks", "late pages", "calm light", "tidy rooms"),
    "garden seeds": ("spring beds", "first shoots", "sunny corners", "fresh herbs"),
    "a rain coat": ("dry shoulders", "grey skies", "wet streets", "light packing"),
    "piano lessons": ("first songs", "small hands", "easy scales", "home concerts"),
    "goat cheese": ("village milk", "soft slices", "summer plates", "good bread"),
}
GOOD = ("Made for {}", "Say hello to {}", "All you need for {}", "Come home to {}")
"""Eight products, four subjects each: 128 headlines, half of which are rows to imitate."""
# Every rule is measured, and none refuses: a minute's training is no proof of anything.
GATE = GateConfig(
    pass_rate=0.0, pass_margin=1.0, distinct_ratio=0.0, most_kl=50.0,
    sampling=SamplingConfig(samples=3, most_new_tokens=16),
)  # fmt: skip


def rows():
    imitate, prefer = [], []
    for product, subjects in PRODUCTS.items():
        brief = Brief(product=product)
        prompt, name = plain_prompt(brief), brief_hash(brief)
        texts = [opening.format(subject) for opening in GOOD for subject in subjects][::2]
        imitate += [Imitate(prompt, t, name, "home", "", 0.1, 0.08, "train") for t in texts]
        prefer += [
            Prefer(prompt, better, f"{product} {product}", name, "home", "", 0.9, "train")
            for better in texts[:4]
        ]
    return Dataset(imitate, prefer, [], {})


def told(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.model
@pytest.mark.timeout(900)  # some 80 seconds of one core, which others may share
def test_from_rows_to_a_version_that_writes_and_is_taken_back(tmp_path):
    data, made = tmp_path / "data", rows()
    assert (len(made.imitate), len(made.prefer)) == (64, 32)
    write_dataset(made, tmp_path / "rows", log=(), thresholds=EvidenceThresholds())
    config, gate = tmp_path / "config.json", tmp_path / "gate.json"
    config.write_text('{"sft": {"epochs": 1}, "dpo": {"epochs": 1, "learning_rate": 0.0001}}')
    gate.write_bytes(msgspec.json.encode(GATE))
    data.mkdir()
    log = SqliteLog(data / "log.db")
    brief = Brief(product="oat biscuits", keywords=("biscuits",))
    prepare(log, replace(requested(brief=brief_to_json(brief), n=1), status="done"))
    log.close()

    told("finetune", tmp_path / "rows", tmp_path / "run", "--config", config)
    told("adopt", tmp_path / "run", "--gate", gate, "--data", data)
    [version] = json.loads(told("list", "--data", data, "--format", "json"))
    assert version["status"] == "canary"
    told("promote", version["version"], "--data", data)

    backend = open_backend("smollm2")
    log = SqliteLog(data / "log.db")
    log.append([catalogue_message(requested("h", n=2, brief=brief_to_json(brief)))])
    written = run_opening(
        log, data / "checkpoints", lambda _: backend, versions=data / "generator" / "versions"
    )
    by_version = [c for c in written.creatives("home") if c.lineage.generation_id == "h"]
    assert by_version
    assert {creative.lineage.adapter for creative in by_version} == {version["version"]}
    assert {creative.lineage.frame for creative in by_version} == {"plain"}

    assert "the bare model writes again" in told("rollback", "--data", data)
    after = catalogue_of(log)
    assert after.champion is None
    assert after.live("home") == []
    explained = told("explain", version["version"], "--data", data)
    assert "pass_rate" in explained
    assert "rolled_back" in explained
    log.close()
