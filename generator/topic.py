"""How close a text is to what a brief speaks of, by small word embeddings.

A small model wanders: asked for a train, it writes of a teacher. An embedding cannot tell a good
headline from a bad one, but it can tell one that has nothing to do with the product.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from generator.brief import Brief


class Topic:
    """What one brief speaks of: its product, facts and keywords, each a direction."""

    def __init__(self, brief: Brief) -> None:
        # Importing it sets up logging, which must not come before a process does that itself.
        import wordllama

        # The weights come with the package; nothing is fetched.
        folder = os.path.dirname(wordllama.__file__)
        self._model: Any = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)
        said = [brief.product, *brief.facts, *brief.keywords]
        self._directions = self._model.embed(said, norm=True)

    def closeness(self, text: str) -> float:
        """Returns the cosine of the text with the nearest thing in the brief, in [-1, 1]."""
        embedded = self._model.embed([text], norm=True)[0]
        return float(np.max(self._directions @ embedded))
