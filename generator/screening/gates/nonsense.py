"""Whether a text makes sense to a language model: how surprised it is by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from generator.screening.gates.finding import Finding


@runtime_checkable
class Reader(Protocol):
    """A language model that can say how likely a text is."""

    def surprise(self, texts: Sequence[str], *, after: str) -> list[float]:
        """Returns how surprised the model is by each text, in nats per token, all at once.

        Args:
            texts: any number, none empty.
            after: what stands before each of them; it is not counted.

        Raises:
            BackendError: the model failed.
        """


def before(product: str) -> str:
    r"""Returns what a text is put after: by itself, its first word would surprise any model most.

    >>> before("coffee beans")
    'Product: coffee beans\nHeadline: "'
    """
    return f'Product: {product}\nHeadline: "'


def nonsense(surprise: float, ceiling: float) -> Finding:
    """Less likely than sensible texts are; scores the perplexity, which is e to the surprise."""
    perplexity = math.exp(min(surprise, 50.0))
    if perplexity <= ceiling:
        return Finding(perplexity)
    return Finding(perplexity, f"perplexity is {perplexity:.0f}; at most {ceiling:.0f}")
