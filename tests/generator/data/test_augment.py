"""Texts said again: what passes and stays close is taught beside them, and marked."""

import json

from typer.testing import CliRunner

from generator.__main__ import app
from generator.data.augment import TRIES, with_paraphrases
from generator.data.dataset import Dataset, Imitate, Thresholds, read_dataset, write_dataset
from streams.log import open_log
from tests.generator.data.made_log import RATES, made_log
from tests.generator.scripted import Scripted

PROMPT = 'Product: coffee (fresh)\nHeadline: "'
SAID = "Fresh coffee at your door"
AGAIN = [
    ' Coffee, fresh to your door"',
    ' Coffee coffee at your door"',
    ' Fresh coffee at your door"',
    " Coffee brought to your door",
    ' A calm dentist in town"',
    ' Your coffee, fresh and near"',
    ' Coffee, fresh to your door"',
    ' The door to fresh coffee"',
]


def row(text=SAID, split="train"):
    return Imitate(PROMPT, text, "b", "home", "", 0.1, 0.05, split)


def test_what_passes_and_stays_close_is_added_and_marked():
    backend = Scripted(AGAIN)
    before = Dataset([row(), row("Coffee for mornings", "test")], [], [], {})
    found = with_paraphrases(before, backend, 2)
    assert found.imitate[:2] == before.imitate
    assert [(each.text, each.made_from) for each in found.imitate[2:]] == [
        ("Coffee, fresh to your door", SAID),
        ("Your coffee, fresh and near", SAID),
    ]
    assert {each.split for each in found.imitate[2:]} == {"train"}
    assert len(backend.asked) == 2 * TRIES
    assert backend.asked[0].endswith(f'"{SAID}"\nIn other words: "')


def test_a_dataset_keeps_the_mark_and_one_from_before_is_read(tmp_path):
    found = with_paraphrases(Dataset([row()], [], [], {}), Scripted(AGAIN), 1)
    write_dataset(found, tmp_path, log=(), thresholds=Thresholds())
    again, card = read_dataset(tmp_path)
    assert again.imitate == found.imitate
    assert card.paraphrased == 1
    told = json.loads((tmp_path / "card.json").read_bytes())
    del told["paraphrased"]
    (tmp_path / "card.json").write_text(json.dumps(told))
    assert read_dataset(tmp_path)[1].paraphrased == 0


def test_the_command_paraphrases_only_when_asked(tmp_path, monkeypatch):
    log = open_log(f"sqlite:///{tmp_path / 'log.db'}")
    made_log(products=("coffee", "tea"), shown=2000, log=log)
    log.close()
    monkeypatch.setattr(
        "generator.models.open_backend",
        lambda model: Scripted([f' {text}, coffee or tea"' for text in RATES]),
    )
    for words, expected in (((), 0), (("--paraphrase", "1"), 1)):
        out = tmp_path / f"rows{len(words)}"
        arguments = ["dataset", str(out), "--data", str(tmp_path), *words, "--format", "json"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert (json.loads(done.stdout)["paraphrased"] >= 1) == bool(expected)
