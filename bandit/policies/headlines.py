"""How people's clicks tell headlines apart: the weights with which policies start.

They are what `bandit.abtests.prior.fit_prior` makes of the headline tests in the Upworthy Research
Archive (Matias et al. 2021, Scientific Data; CC BY 4.0): English, 2013 to 2015, and one site's
readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

# Per unit of each feature of `creative_features`, in logarithms of the click rate; of the two
# embeddings a creative has one. By a namespace alone: what brings a typical headline to 0.
# From 1,204 tests of at least two headlines and 100 impressions an arm, in all weeks that were
# randomised evenly; tests/bandit/abtests/test_prior.py fits them anew.
HEADLINES: Final[dict[str, float]] = {
    "text": -0.0609,
    "text.call_to_action": -0.0099,
    "text.capitals": -0.2426,
    "text.colon": -0.0433,
    "text.demonstrative": 0.0369,
    "text.ellipsis": -0.0265,
    "text.exclamation": -0.1262,
    "text.first_person": 0.0113,
    "text.length": 0.0592,
    "text.money": -0.0123,
    "text.negation": 0.008,
    "text.number": 0.0557,
    "text.offer": -0.0256,
    "text.percent": -0.0932,
    "text.question": -0.0817,
    "text.question_word": 0.0263,
    "text.quotation": 0.0135,
    "text.second_person": 0.0231,
    "text.sentences": 0.0117,
    "text.superlative": 0.0414,
    "text.third_person": 0.053,
    "text.urgency": 0.0163,
    "text.word_length": -0.1493,
    "text.words": 0.1161,
    "embedding": -0.0607,
    "embedding.0": 0.071,
    "embedding.1": -0.1402,
    "embedding.2": -0.0256,
    "embedding.3": -0.0349,
    "embedding.4": -0.0883,
    "embedding.5": -0.0427,
    "embedding.6": -0.1514,
    "embedding.7": 0.0369,
    "embedding.8": -0.0667,
    "embedding.9": 0.0718,
    "embedding.10": -0.04,
    "embedding.11": -0.0915,
    "embedding.12": 0.0899,
    "embedding.13": 0.0921,
    "embedding.14": 0.2227,
    "embedding.15": 0.2372,
    "embedding.16": 0.0008,
    "embedding.17": 0.0621,
    "embedding.18": -0.136,
    "embedding.19": -0.0129,
    "embedding.20": -0.1101,
    "embedding.21": 0.0933,
    "embedding.22": -0.1609,
    "embedding.23": 0.1297,
    "embedding.24": -0.0472,
    "embedding.25": -0.1013,
    "embedding.26": 0.0349,
    "embedding.27": -0.0446,
    "embedding.28": -0.0092,
    "embedding.29": 0.0014,
    "embedding.30": -0.0204,
    "embedding.31": 0.005,
    "minilm": -0.1037,
    "minilm.0": -0.5086,
    "minilm.1": -0.2199,
    "minilm.2": -0.088,
    "minilm.3": 0.0925,
    "minilm.4": -0.0593,
    "minilm.5": -0.1587,
    "minilm.6": -0.2439,
    "minilm.7": -0.3564,
    "minilm.8": -0.0941,
    "minilm.9": -0.1163,
    "minilm.10": -0.149,
    "minilm.11": 0.0198,
    "minilm.12": -0.2135,
    "minilm.13": 0.2168,
    "minilm.14": -0.2477,
    "minilm.15": 0.0525,
    "minilm.16": 0.0512,
    "minilm.17": 0.4589,
    "minilm.18": -0.2837,
    "minilm.19": -0.2623,
    "minilm.20": -0.1565,
    "minilm.21": -0.1853,
    "minilm.22": -0.1268,
    "minilm.23": 0.0233,
    "minilm.24": -0.1005,
    "minilm.25": 0.1133,
    "minilm.26": -0.0256,
    "minilm.27": 0.0798,
    "minilm.28": 0.0033,
    "minilm.29": 0.2882,
    "minilm.30": 0.0023,
    "minilm.31": 0.3382,
}


SHIPPED: Final = "shipped"


def in_short(value: Any) -> Any:
    """Returns a policy's spec, or what has one within, with the weights above as one word.

    >>> in_short({"name": "adaptive", "weights": dict(HEADLINES), "trust": 1.0})
    {'name': 'adaptive', 'weights': 'shipped', 'trust': 1.0}
    """
    if value == HEADLINES:
        return SHIPPED
    if isinstance(value, dict):
        return {name: in_short(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [in_short(each) for each in value]
    return value
