"""Gates of likeness, to the brief, to other texts and within a set; and of what makes sense."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process, utils

from bandit.features.reading import UNSPACED, plain, simplified, words
from generator.screening.gates import GateFinding
from generator.screening.gates.form import telling
from generator.screening.gates.likeness import Vectors

ENDING: Final = 3
"""How many last words tell a copied line."""


SPACELESS: Final = re.compile(f"[{UNSPACED}]")


def off_topic(text: Vectors, subjects: Vectors, floor: float) -> GateFinding:
    """Nothing to do with the product; scores the cosine with the nearest of the subjects."""
    closeness = float(np.max(subjects @ text))
    if closeness >= floor:
        return GateFinding(closeness)
    return GateFinding(closeness, f"closeness to the product is {closeness:.2f}; at least {floor}")


def duplicate(
    text: str,
    others: Sequence[str],
    closeness: NDArray[np.float32],
    *,
    alike: float,
    close: float,
    worded: float,
    letters: float = 84.0,
) -> GateFinding:
    """Says what another text says; scores how like the nearest is, in [0, 1].

    Args:
        text: the new one.
        others: the texts that it must differ from.
        closeness: its cosine with each, shape (n_others,).
        alike: from this `token_set_ratio` on they say the same, in [0, 100].
        close: from this cosine on they say the same,
        worded: if their `token_sort_ratio` is as high as this, too: embeddings of single words
            cannot tell all that differs.
        letters: from this `ratio` of letters on they say the same, where no spaces part words.
    """
    if not others:
        return GateFinding(0.0)
    if SPACELESS.search(text):
        same = process.cdist([text], others, scorer=fuzz.ratio, processor=_letters)[0]
        sorted_same, alike = same, letters
    else:
        same, sorted_same = (
            process.cdist([text], others, scorer=scorer, processor=utils.default_process)[0]
            for scorer in (fuzz.token_set_ratio, fuzz.token_sort_ratio)
        )
    nearest = int(np.argmax(same))
    meant = np.where(sorted_same >= worded, closeness, -1.0)
    score = max(float(same[nearest]) / 100.0, float(np.max(meant)))
    if same[nearest] >= alike:
        return GateFinding(score, f"like {others[nearest]!r} ({same[nearest]:.0f} of 100)")
    nearest = int(np.argmax(meant))
    if meant[nearest] >= close:
        return GateFinding(
            score, f"means what {others[nearest]!r} does (cosine {meant[nearest]:.2f})"
        )
    return GateFinding(score)


def _letters(text: str) -> str:
    """Returns the letters and digits of a text, in simplified characters."""
    return "".join(letter for letter in simplified(plain(text)) if letter.isalnum())


def copied(text: str, shown: Sequence[str], *, nearly_equal: float) -> GateFinding:
    """Copied from what the model was shown: nearly all of it, or its last three words."""
    found = process.extractOne(
        text, shown, scorer=fuzz.ratio, processor=utils.default_process, score_cutoff=0
    )
    score = float(found[1]) / 100.0 if found else 0.0
    if found and found[1] >= nearly_equal:
        return GateFinding(score, f"like {found[0]!r}, which the model was shown")
    ending = words(text)[-ENDING:]
    # Many lines end on idioms such as "at a time".
    said = len(ending) == ENDING and (not text.isascii() or telling(" ".join(ending)))
    for line in shown:
        if said and words(line)[-ENDING:] == ending:
            return GateFinding(score, f"ends like {line!r}, which the model was shown")
    return GateFinding(score)


def distinctness(texts: Vectors) -> float:
    """Returns how much the texts of a set differ from each other, in [0, 1].

    It is the determinant of their cosines, to the power of one over their number: the geometric
    mean of what each text says that those before it do not (Kulesza & Taskar 2012, section 2.2).
    A set of one is distinct, one with the same text twice is not at all.
    """
    if len(texts) < 2:
        return 1.0
    gram = (texts @ texts.T).astype(np.float64)
    sign, log = np.linalg.slogdet(gram)
    return float(np.exp(log / len(texts))) if sign > 0 else 0.0


def crowded(text: Vectors, others: Vectors, *, floor: float, nearest: int) -> GateFinding:
    """One more of a kind: with the nearest ones of its set it makes too alike a group.

    Scores the distinctness of that group; where there are fewer than `nearest` others, 1.
    """
    if len(others) < nearest:
        return GateFinding(1.0)
    closest = np.argpartition(-(others @ text), nearest - 1)[:nearest]
    score = distinctness(np.vstack([text, others[closest]]))
    if score >= floor:
        return GateFinding(score)
    return GateFinding(
        score, f"too like {nearest} others together: {score:.2f} distinct of {floor}"
    )


def by_difference(texts: Vectors) -> list[int]:
    """Returns the texts' order in which each next one is least like those before it.

    The first one stays first; of equals, the earlier comes first. This is maximal marginal
    relevance (Carbonell & Goldstein 1998) with nothing known of relevance.
    """
    if not len(texts):
        return []
    cosines = texts @ texts.T
    order = [0]
    nearest = cosines[0].copy()
    while len(order) < len(texts):
        nearest[order] = np.inf
        following = int(np.argmin(nearest))
        order.append(following)
        nearest = np.maximum(nearest, cosines[following])
    return order


@runtime_checkable
class Scorer(Protocol):
    """A language model that can say how likely a text is."""

    def surprise(
        self, texts: Sequence[str], *, after: str, adapter: str | None = None
    ) -> list[float]:
        """Returns how surprised the model is by each text, in nats per token, all at once.

        Args:
            texts: any number, none empty.
            after: what stands before each of them; it is not counted.
            adapter: that the model is asked with; None for the bare model.

        Raises:
            BackendError: the model failed.
        """


def before(product: str) -> str:
    r"""Returns what a text is put after: by itself, its first word would surprise any model most.

    >>> before("coffee beans")
    'Product: coffee beans\nHeadline: "'
    """
    return f'Product: {product}\nHeadline: "'


def nonsense(surprise: float, ceiling: float) -> GateFinding:
    """Less likely than sensible texts are; scores the perplexity, which is e to the surprise."""
    perplexity = math.exp(min(surprise, 50.0))
    if perplexity <= ceiling:
        return GateFinding(perplexity)
    return GateFinding(perplexity, f"perplexity is {perplexity:.0f}; at most {ceiling:.0f}")
