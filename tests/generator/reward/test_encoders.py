from pathlib import Path

import numpy as np
import pytest

from generator.backends.packaged import packaged_model
from generator.errors import RewardModelError
from generator.reward import fit_reward_model, open_encoder
from generator.reward.encoders import groups_seen, packaged_minilm
from generator.reward.tune import Tuning, tune_reader
from tests.generator.reward.made_texts import made_examples

TEXTS = ["Sleep well tonight", "A blanket that hugs back, and then some more words", "Sleep"]


def test_readers_stand_side_by_side(tmp_path):
    x, block = open_encoder("wordllama+wordllama", tmp_path)(TEXTS)
    assert x.shape == (3, 512)
    assert np.bincount(block).tolist() == [256, 256]


@pytest.mark.parametrize("name", ["", "gpt", "wordllama:x", "hidden:model", "sentence:"])
def test_an_unknown_reader_is_refused(name, tmp_path):
    with pytest.raises(RewardModelError, match="no reader is called"):
        open_encoder(name, tmp_path)


@pytest.mark.model
def test_a_language_model_reads_each_text_for_itself(tmp_path):
    packaged = packaged_model(Path.home() / ".cache" / "copyloop" / "models")
    encoder = open_encoder(f"hidden:{packaged}@15", tmp_path)
    x, _ = encoder(TEXTS)
    assert x.shape == (3, 576)
    alone = np.concatenate([encoder([text])[0] for text in TEXTS])
    # batched with longer ones, up to what bfloat16 resolves
    cosine = (x * alone).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(alone, axis=1)
    assert (cosine > 0.999).all()
    with pytest.raises(RewardModelError, match="it has 30"):
        open_encoder(f"hidden:{packaged}@31", tmp_path)


def test_minilm_knows_what_is_alike(tmp_path):
    x, _ = open_encoder("minilm", tmp_path)(
        ["A warm blanket", "A cosy duvet", "Quarterly tax returns"]
    )
    assert x[0] @ x[1] > 0.5 > x[0] @ x[2]


def test_a_tuned_reader_is_judged_by_what_it_has_not_seen(tmp_path):
    examples = made_examples(64, size=4)
    base = open_encoder("minilm", tmp_path)
    ridge = fit_reward_model(examples, base).ridge
    told = []
    folder = tune_reader(
        packaged_minilm(),
        examples,
        ridge,
        tmp_path / "tuned",
        tuning=Tuning(epochs=1, rate=1e-4),
        progress=told.append,
    )
    assert told[-1] == 1.0
    assert groups_seen(folder) == {f"test-{k}" for k in range(51)}
    tuned = open_encoder(f"sentence:{folder}", tmp_path)
    assert tuned.seen == groups_seen(folder)
    assert not np.allclose(tuned(TEXTS)[0], base(TEXTS)[0], atol=1e-3)
    model = fit_reward_model(examples, tuned)
    frozen = fit_reward_model(examples, base)
    assert 0 < model.accuracy.n_pairs < frozen.accuracy.n_pairs / 2


def test_few_groups_are_not_enough_to_tune(tmp_path):
    examples = made_examples(60)
    ridge = fit_reward_model(examples, open_encoder("wordllama", tmp_path)).ridge
    with pytest.raises(RewardModelError, match="48 groups to tune a reader on"):
        tune_reader(packaged_minilm(), examples, ridge, tmp_path / "tuned")
