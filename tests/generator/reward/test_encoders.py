from pathlib import Path

import numpy as np
import pytest

from generator.errors import RewardModelError
from generator.models.opening import packaged_model
from generator.reward.encoders import open_encoder

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
