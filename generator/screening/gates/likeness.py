"""How texts are read to be compared: as vectors in which like is near like.

English is read by small word embeddings. They know no other language, so elsewhere letters are
compared, unless a model that reads many languages is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.features.language import language_of
from bandit.features.letters import letter_vectors
from bandit.features.word_vectors import word_vectors
from generator.errors import BackendMissing, ThresholdsError

Vectors: TypeAlias = NDArray[np.float32]
"""Texts as directions, shape (n_texts, size), each of length 1 (0 for a text without words)."""
LETTERS: Final = 2048
"""The size of a vector of letters; texts of few letters hardly ever share a place in it."""
INSTALL: Final = "pip install '.[reward]'"


class TextReader(NamedTuple):
    """What reads texts: `words`, `letters` or a `model`, and how."""

    kind: Literal["words", "letters", "model"]
    vectors: Callable[[Sequence[str]], Vectors]


def reader_of(language: str, model: str = "") -> TextReader:
    """Returns what reads texts of a language.

    Args:
        language: the code of a brief's language.
        model: a model of sentence-transformers that reads it: a folder or a hub id; empty for
            words in English, and letters elsewhere.

    Raises:
        BackendMissing: sentence-transformers is not installed.
        ThresholdsError: the model cannot be loaded.

    >>> reader_of("en").kind, reader_of("zh").kind
    ('words', 'letters')
    """
    if model:
        return TextReader("model", _sentences(model))
    if language == "en":
        return TextReader("words", vectors)
    return TextReader("letters", lambda texts: letter_vectors(texts, LETTERS))


def vectors_of(texts: Sequence[str]) -> Vectors:
    """Returns the vectors of texts that are read by the language that they are in, together."""
    return reader_of(language_of(" ".join(texts))).vectors(texts)


def vectors(texts: Sequence[str]) -> Vectors:
    """Returns small word embeddings of English texts, whose capitals do not matter."""
    return word_directions([text.lower() for text in texts])


def word_directions(texts: Sequence[str]) -> Vectors:
    """Returns small word embeddings of English texts as they are written."""
    if not texts:
        return np.zeros((0, 256), dtype=np.float32)
    return _directed(word_vectors().embed(texts))


# A model takes seconds to load, and is the same for every brief.
@cache
def _sentences(model: str) -> Callable[[Sequence[str]], Vectors]:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise BackendMissing(
            f"likeness.model is {model!r}, which sentence-transformers reads; {INSTALL}"
        ) from error
    try:
        loaded = SentenceTransformer(model, device="cpu")
    except (OSError, ValueError) as error:
        raise ThresholdsError(
            f"likeness.model is {model!r}, which cannot be loaded ({error}); expected a folder or "
            "a hub id of sentence-transformers, or none"
        ) from error
    size = loaded.get_embedding_dimension() or 0

    def read(texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, size), dtype=np.float32)
        return _directed(loaded.encode(list(texts), show_progress_bar=False))

    return read


def _directed(found: object) -> Vectors:
    """Returns the vectors at length 1; without words a text has no direction."""
    known = np.asarray(found, dtype=np.float32)
    lengths = np.linalg.norm(known, axis=1, keepdims=True)
    directed: Vectors = np.divide(known, lengths, out=np.zeros_like(known), where=lengths > 0)
    return directed
