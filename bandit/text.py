"""What can be told of a creative's text without asking anyone: its form, and roughly its sense.

Form is a handful of attributes that people who write adverts argue about; sense is an embedding
from weights that are installed with the package. Both are made once per creative, not per request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

EMBEDDING_SIZE: Final = 32
DECIMALS: Final = 4
_MATRYOSHKA_SIZE: Final = 64

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE_END: Final = re.compile(r"[.!?…]+(?:\s|$)")


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORDS: Final = {
    "call_to_action": _listed(
        "apply book buy call check choose click claim compare create discover donate download "
        "enjoy enter explore find get give join learn look make meet open order play read reserve "
        "save see send share shop sign start stop switch take tell try upgrade visit watch"
    ),
    "demonstrative": _listed("here that these this those"),
    "first_person": _listed("i i'm i've me mine my our ours us we we're"),
    "negation": _listed("cannot neither never no nobody none nor not nothing without"),
    "offer": _listed("bonus deal discount free gift half off sale save"),
    "question_word": _listed("how what when where which who whose why"),
    "second_person": _listed("you you'll you're you've your yours yourself"),
    "superlative": _listed("best biggest ever fastest first most only perfect top worst"),
    "third_person": _listed("he her him his she their them they"),
    "urgency": _listed(
        "ends expires hurry immediately instant last limited now soon today tonight"
    ),
}

Attribute: TypeAlias = float | bool


def attributes(text: str) -> dict[str, Attribute]:
    """Returns the text's structural attributes: numbers of about 0 to 1, and what is true of it.

    The lists of words are English; of another language the rest still tells.

    >>> attributes("Try it for $5 today!")["call_to_action"]
    True
    """
    words = _WORD.findall(text.replace("’", "'").lower())
    letters = sum(map(str.isalpha, text))
    found: dict[str, Attribute] = {
        "capitals": round(sum(map(str.isupper, text)) / max(letters, 1), DECIMALS),
        "length": len(text) / 100,
        "sentences": len(_SENTENCE_END.findall(text)) / 4,
        "word_length": round(sum(map(len, words)) / max(len(words), 1) / 10, DECIMALS),
        "words": len(words) / 20,
    }
    seen = set(words)
    flags = {name: not seen.isdisjoint(known) for name, known in _WORDS.items()} | {
        "colon": ":" in text,
        "ellipsis": "..." in text or "…" in text,
        "exclamation": "!" in text,
        "money": any(sign in text for sign in "$€£¥"),
        "negation": any(w in _WORDS["negation"] or w.endswith("n't") for w in seen),
        "number": any(map(str.isdigit, text)),
        "percent": "%" in text,
        "question": "?" in text,
        "quotation": any(sign in text for sign in '"“”„«»'),
    }
    return found | {name: True for name, holds in flags.items() if holds}


def embed(text: str) -> list[float]:
    """Returns what the text is about: 32 numbers of a vector about 1 long, to 4 decimals.

    wordllama's embedding (Miller 2024; the mean of its tokens' vectors) cut to 64 dimensions, as
    it was trained to be, then projected on the 32 directions in which the vocabulary's own
    vectors vary most. Of 1,674 pairs of headlines whose click rates differ (five folds by test),
    a linear model on it ranks .604 rightly: .609 on all 64 dimensions, .579 on a random
    projection to 32 (mean of 12), .564 on the first 32, .616 on all 256; standard error .012.
    A text without a known token is all zeros.
    """
    return [round(float(x), DECIMALS) + 0.0 for x in _embedder()(text)]


# Weights are constants that take half a second to load: once per process, when first needed.
@cache
def _embedder() -> Callable[[str], NDArray[np.float64]]:
    import wordllama

    model = wordllama.WordLlama.load(
        cache_dir=os.path.dirname(wordllama.__file__),
        trunc_dim=_MATRYOSHKA_SIZE,
        disable_download=True,
    )
    directions = _principal_directions(model.embedding)

    def embedded(text: str) -> NDArray[np.float64]:
        vector = model.embed([text])[0].astype(np.float64)
        projected: NDArray[np.float64] = vector @ directions
        return projected / max(float(np.linalg.norm(vector)), 1e-9)

    return embedded


def _principal_directions(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the directions of most variance of the normalised vectors, as columns."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = (vectors / np.maximum(lengths, 1e-9)).astype(np.float64)
    unit -= unit.mean(axis=0)
    columns = np.linalg.eigh(unit.T @ unit)[1][:, ::-1][:, :EMBEDDING_SIZE]
    # A direction and its opposite are equally good: the largest entry is made positive.
    largest = columns[np.abs(columns).argmax(axis=0), np.arange(EMBEDDING_SIZE)]
    directions: NDArray[np.float64] = columns * np.sign(largest)
    return directions
