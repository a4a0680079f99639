"""What texts share, letter by letter: vectors in which texts of like wording are near each other.

They read any script and know no language, where an embedding that was trained on English would
make noise of what it never saw. They tell wording alone: synonyms are strangers to them.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.features.reading import HANGUL, MARKS, UNSPACED, plain, simplified

LetterVectors: TypeAlias = NDArray[np.float32]
"""Shape (n_texts, size), each of length 1 (0 for a text without letters)."""

FEATURES: Final = 32
DECIMALS: Final = 4

_RUN: Final = re.compile(rf"(?P<dense>[{UNSPACED}{HANGUL}]+)|[\w{MARKS}]+")
_HIRAGANA: Final = re.compile("[\u3040-\u309f]+")
_SMALL_WORDS: Final = frozenset("的了是在和与就也都很吗呢吧啊着过把被让你我他她它们")
_SHORT: Final = 3
"""A word of so few letters mostly holds a sentence together."""
_LIGHT: Final = 0.2
"""What such a word counts, and what grammar of Chinese and Japanese does."""


def letter_vectors(texts: Sequence[str], size: int) -> LetterVectors:
    """Returns the texts as hashed counts of their letters, by two and three, at length 1.

    Letters that are words by themselves count one by one, too. Signs of the hash keep inner
    products on average (Weinberger et al. 2009, equation 2). Capitals, widths and both forms of
    Chinese are the same.

    >>> shoe, other, weather = letter_vectors(["轻量跑鞋", "輕量跑鞋！", "上海天气"], 256)
    >>> float(round(shoe @ other, 2)), bool(shoe @ weather < 0.2)
    (1.0, True)
    """
    found = np.zeros((len(texts), size), dtype=np.float32)
    for row, text in enumerate(texts):
        for gram, weight in _grams(simplified(plain(text))).items():
            digest = zlib.crc32(gram.encode())
            found[row, (digest >> 1) % size] += weight if digest & 1 else -weight
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    directed: LetterVectors = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
    return directed


def letters(text: str) -> list[float]:
    """Returns a text's wording as a creative's features have it: 32 numbers, to 4 decimals."""
    [found] = letter_vectors([text], FEATURES)
    return [round(float(x), DECIMALS) + 0.0 for x in found]


def _grams(text: str) -> dict[str, float]:
    counted = Counter(gram for run in _RUN.finditer(text) for gram in _of_run(run))
    return {gram: weight * times**0.5 for (gram, weight), times in counted.items()}


def _of_run(run: re.Match[str]) -> Iterator[tuple[str, float]]:
    """Yields the pieces of a run of letters, and what each counts."""
    text = run[0]
    if run["dense"]:
        for letter in text:
            yield letter, 0.5 * _weight(letter)
        for place in range(len(text) - 1):
            pair = text[place : place + 2]
            yield pair, _weight(pair)
        return
    weight = 1.0 if len(text) > _SHORT else _LIGHT
    yield f" {text} ", weight
    framed = f" {text} "
    for place in range(len(framed) - 2):
        yield framed[place : place + 3], weight / 2


def _weight(piece: str) -> float:
    small = _HIRAGANA.fullmatch(piece) or any(letter in _SMALL_WORDS for letter in piece)
    return _LIGHT if small else 1.0
