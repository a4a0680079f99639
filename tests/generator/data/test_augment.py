"""More texts to imitate: those that won said again, and the best of what the model writes."""

import json

import pytest
from typer.testing import CliRunner

from generator.brief.prompts import plain_prompt
from generator.brief.schema import Brief, brief_hash
from generator.commands.main import generator_app as app
from generator.data.augment import TRIES, PracticeConfig, practised, with_paraphrases
from generator.data.dataset import Dataset, EvidenceThresholds, Imitate, read_dataset, write_dataset
from generator.errors import DatasetError
from generator.models.base import SMOLLM2
from generator.writing.texts import Sampler, SamplingConfig
from streams.catalogue.state import catalogue_message
from streams.logs.opening import open_log
from tests.generator.data.made_log import RATES, made_log
from tests.generator.scripted import Scripted
from tests.generator.working import prepare, requested

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
    write_dataset(found, tmp_path, log=(), thresholds=EvidenceThresholds())
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
        "generator.models.opening.open_backend",
        lambda model: Scripted([f' {text}, coffee or tea"' for text in RATES]),
    )
    for words, expected in (((), 0), (("--paraphrase", "1"), 1)):
        out = tmp_path / f"rows{len(words)}"
        arguments = ["dataset", str(out), "--data", str(tmp_path), *words, "--format", "json"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert (json.loads(done.stdout)["paraphrased"] >= 1) == bool(expected)


COFFEE = Brief(product="coffee beans by post", keywords=("coffee", "mornings"))
TEA = Brief(product="loose leaf tea", keywords=("tea", "gardens"))
LINES = [
    'Coffee for calm mornings"',
    'Morning coffee by post"',
    'Coffee beats coffee"',
    'coffee for calm mornings"',
    'Fresh coffee and tea"',
    'Tea or coffee at breakfast"',
]
ROUND = PracticeConfig(sampling=SamplingConfig(samples=len(LINES)))


def texts(dataset, brief):
    return [row.text for row in dataset.imitate if row.brief == brief_hash(brief)]


def shortest_first(found):
    return sorted(range(len(found)), key=lambda place: len(found[place]))


def test_what_passes_is_taught_once_and_what_does_not_is_counted():
    found = practised(Sampler(Scripted(LINES)), [COFFEE], ROUND)
    assert texts(found, COFFEE) == [
        "Coffee for calm mornings",
        "Morning coffee by post",
        "Fresh coffee and tea",
        "Tea or coffee at breakfast",
    ]
    assert found.left_out == {"repeats": 1, "said_twice": 1}
    assert {row.prompt for row in found.imitate} == {plain_prompt(COFFEE)}
    assert (found.prefer, found.judge) == ([], [])


def test_a_ranking_keeps_the_share_that_promises_most():
    found = practised(Sampler(Scripted(LINES)), [COFFEE], ROUND, rank=shortest_first)
    assert texts(found, COFFEE) == ["Fresh coffee and tea", "Morning coffee by post"]
    assert found.left_out["promises_less"] == 2


def test_whole_briefs_are_held_out():
    seen = []
    config = PracticeConfig(sampling=SamplingConfig(samples=len(LINES)), held_out=0.5)
    found = practised(
        Sampler(Scripted(LINES * 2)),
        [COFFEE, TEA],
        config,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert {(row.brief, row.split) for row in found.imitate} == {
        (brief_hash(COFFEE), "train"),
        (brief_hash(TEA), "test"),
    }
    assert seen == [(1, 2), (2, 2)]


def test_nothing_to_learn_is_said():
    with pytest.raises(DatasetError, match="no briefs to write for"):
        practised(Sampler(Scripted(LINES)), [], ROUND)
    with pytest.raises(DatasetError, match=r"passed.*repeats.*by hand"):
        practised(Sampler(Scripted(['Tea is tea"'])), [TEA], ROUND)


def test_the_command_writes_for_files_or_for_what_a_log_was_asked_for(tmp_path, monkeypatch):
    """The model's part is scripted: one small enough for a test writes nothing that passes."""
    asked = []

    def opened(model):
        asked.append(model)
        return Scripted(LINES * 2)

    monkeypatch.setattr("generator.models.opening.open_backend", opened)
    folder = tmp_path / "briefs"
    folder.mkdir()
    (folder / "tea.yaml").write_text("version: 2\nproduct: loose leaf tea\n")
    log = prepare(open_log(f"sqlite:///{tmp_path / 'log.db'}"))
    log.append([catalogue_message(requested("g")), catalogue_message(requested("h"))])
    log.close()
    for words in ([str(folder)], ["--data", str(tmp_path)]):
        out = tmp_path / f"rows-{len(words)}"
        done = CliRunner().invoke(
            app, ["practise", str(out), *words, "--texts", "6", "--format", "json"]
        )
        assert done.exit_code == 0, done.output
        card = json.loads(done.stdout)
        dataset, _ = read_dataset(out)
        assert card["rows"] == {"imitate/train": len(dataset.imitate)}
        assert card["briefs"]["train"] == 1
    assert asked == [SMOLLM2, SMOLLM2]
