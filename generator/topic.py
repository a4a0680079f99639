"""How close a text is to what others speak of, by small word embeddings.

A small model wanders: asked for a train, it writes of a teacher. An embedding cannot tell a good
headline from a bad one, but it can tell one that has nothing to do with the product.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np


class Topic:
    """What is spoken of, as some texts that speak of it: each is a direction."""

    def __init__(self, texts: Iterable[str]) -> None:
        # Importing it sets up logging, which must not come before a process does that itself.
        import wordllama

        # The weights come with the package; nothing is fetched.
        folder = os.path.dirname(wordllama.__file__)
        self._model: Any = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
        self._directions = self._model.embed(list(texts), norm=True)

    def closeness(self, text: str) -> float:
        """Returns the cosine of the text with the nearest of those texts, in [-1, 1]."""
        embedded = self._model.embed([text], norm=True)[0]
        return float(np.max(self._directions @ embedded))
