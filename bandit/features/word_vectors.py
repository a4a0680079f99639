"""The word vectors of wordllama: what texts are about, from weights that are installed.

The weights are read without importing the package, whose compiled parts have no wheel for every
Python and machine, and which sets up logging when it is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Floats: TypeAlias = NDArray[np.float32]


class WordVectors(NamedTuple):
    """A vector for each token, shape (n_tokens, size), and what splits a text into tokens."""

    vectors: Floats
    tokenizer: Tokenizer

    def embed(self, texts: Sequence[str]) -> Floats:
        """Returns the mean vector of each text's tokens, shape (n_texts, size); zeros without any.

        As in wordllama (Miller 2024).
        """
        found = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        sums = [self.vectors[each.ids].sum(axis=0, dtype=np.float32) for each in found]
        counts = np.array([[max(len(each.ids), 1)] for each in found], dtype=np.float32)
        size = self.vectors.shape[1]
        return np.reshape(np.array(sums, dtype=np.float32), (-1, size)) / counts.reshape(-1, 1)


# Weights are constants that take half a second to load: once per process, when first needed.
@cache
def word_vectors(size: int = 256) -> WordVectors:
    """Returns the vectors cut to `size` dimensions: 64, 128 or 256, as they were trained to be.

    Raises:
        ModuleNotFoundError: wordllama is not installed.
    """
    package = find_spec("wordllama")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("wordllama is not installed", name="wordllama")
    (folder,) = package.submodule_search_locations
    weights = load_file(f"{folder}/weights/l2_supercat_256.safetensors")["embedding.weight"]
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizers/l2_supercat_tokenizer_config.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return WordVectors(np.ascontiguousarray(weights[:, :size].astype(np.float32)), tokenizer)
