"""How people's clicks tell headlines apart: the weights with which the default policy starts.

They are what `bandit.prior.fit_prior` makes of the headline tests in the Upworthy Research Archive
(Matias et al. 2021, Scientific Data; CC BY 4.0): English, 2013 to 2015, and one site's readers.
"""

from __future__ import annotations

from typing import Final

# Per unit of each feature of bandit.features.creative_features, in logarithms of the click rate.
# From 1,204 tests of at least two headlines and 100 impressions an arm, in all weeks that were
# randomised evenly; tests/bandit/test_prior.py fits them anew.
HEADLINES: Final[dict[str, float]] = {
    "text.call_to_action": -0.0144,
    "text.capitals": -0.2502,
    "text.colon": -0.0438,
    "text.demonstrative": 0.0356,
    "text.ellipsis": -0.0281,
    "text.exclamation": -0.1177,
    "text.first_person": 0.014,
    "text.length": 0.0457,
    "text.money": 0.0111,
    "text.negation": 0.0062,
    "text.number": 0.0594,
    "text.offer": -0.0033,
    "text.percent": -0.0855,
    "text.question": -0.0728,
    "text.question_word": 0.0223,
    "text.quotation": 0.0092,
    "text.second_person": 0.0158,
    "text.sentences": -0.0059,
    "text.superlative": 0.0399,
    "text.third_person": 0.04,
    "text.urgency": 0.0226,
    "text.word_length": -0.136,
    "text.words": 0.097,
    "embedding.0": 0.07,
    "embedding.1": -0.1535,
    "embedding.2": -0.025,
    "embedding.3": -0.0384,
    "embedding.4": -0.097,
    "embedding.5": -0.038,
    "embedding.6": -0.1595,
    "embedding.7": 0.0447,
    "embedding.8": -0.0708,
    "embedding.9": 0.0715,
    "embedding.10": -0.034,
    "embedding.11": -0.0915,
    "embedding.12": 0.0902,
    "embedding.13": 0.0989,
    "embedding.14": 0.2395,
    "embedding.15": 0.2511,
    "embedding.16": -0.0052,
    "embedding.17": 0.065,
    "embedding.18": -0.1423,
    "embedding.19": -0.0059,
    "embedding.20": -0.1145,
    "embedding.21": 0.0949,
    "embedding.22": -0.1724,
    "embedding.23": 0.1383,
    "embedding.24": -0.0575,
    "embedding.25": -0.1107,
    "embedding.26": 0.0332,
    "embedding.27": -0.0491,
    "embedding.28": -0.015,
    "embedding.29": 0.0032,
    "embedding.30": -0.0299,
    "embedding.31": 0.0129,
}
