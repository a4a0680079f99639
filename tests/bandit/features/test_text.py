"""Texts: their form, and an embedding in which like is near like."""

import numpy as np
import pytest

from bandit.features.text import EMBEDDING_SIZE, attributes, embed

NUMBERS = {"capitals", "length", "sentences", "word_length", "words"}


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("", set()),
        ("blue shoes", set()),
        ("Are these yours?", {"demonstrative", "question", "second_person"}),
        (
            "Buy now: 50% off!",
            {"call_to_action", "urgency", "number", "percent", "offer", "colon", "exclamation"},
        ),
        ("I don't care…", {"first_person", "negation", "ellipsis"}),
        ("You’re never too late", {"second_person", "negation"}),
        ("“The best” for $5", {"quotation", "superlative", "money", "number"}),
        ("How he did it...", {"question_word", "third_person", "ellipsis"}),
        ("youth hereby notable", set()),
    ],
)
def test_what_is_true_of_a_text_is_said_and_nothing_else(text, flags):
    assert attributes(text).keys() - NUMBERS == flags


def test_numbers_are_of_the_order_of_one():
    found = attributes("THIS is a Headline. It has twelve words, in two short sentences!")
    assert found["length"] == 0.64
    assert found["words"] == 12 / 20
    assert found["sentences"] == 0.5
    assert found["capitals"] == pytest.approx(6 / 50, abs=1e-4)
    assert found["word_length"] == pytest.approx(50 / 12 / 10, abs=1e-4)


def test_an_embedding_is_32_numbers_of_four_decimals():
    vector = embed("Sleep better tonight")
    assert len(vector) == EMBEDDING_SIZE
    assert all(round(x, 4) == x for x in vector)
    assert 0.5 < np.linalg.norm(vector) <= 1.0001


def test_like_texts_are_nearer_than_unlike_ones():
    cat, kitten, tax = map(embed, ["a cat on the sofa", "kitten sleeping on a couch", "tax law"])
    assert np.dot(cat, kitten) > np.dot(cat, tax) + 0.2


def test_an_embedding_of_nothing_is_nothing():
    assert embed("") == [0.0] * EMBEDDING_SIZE


def test_embeddings_never_change():
    """Creatives' features are stored, so a model that learned them must not meet others."""
    assert embed("Sleep better tonight")[:6] == [-0.0241, 0.1476, 0.1255, -0.0929, -0.0591, -0.1816]
