import numpy as np

from generator.reward.ranking import rank
from tests.generator.reward.made_texts import ENDS, TWISTS

TEXTS = [f"Save money {twist} {end}" for twist in TWISTS for end in ENDS]


def test_the_best_come_first_without_diversity(model, encoder):
    ranked = rank(TEXTS, encoder=encoder, model=model, k=len(TEXTS), diversity=0.0)
    scores = model.score([TEXTS[place] for place in ranked]).value.tolist()
    assert sorted(scores, reverse=True) == scores
    assert sorted(ranked) == list(range(len(TEXTS)))
    assert "for free" in TEXTS[ranked[0]]


def test_diversity_spreads_what_is_picked(model, encoder):
    def closest(diversity):
        picked = rank(TEXTS, encoder=encoder, model=model, k=6, diversity=diversity)
        vectors = encoder(TEXTS)[0]
        vectors = (vectors - vectors.mean(axis=0))[picked]
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return float(np.max(unit @ unit.T - 2.0 * np.eye(len(unit))))

    assert closest(2.0) < closest(0.0)


def test_it_picks_better_than_all(model, encoder):
    def taste(text):
        return ("for free" in text) - ("like a king" in text) + 0.5 * ("at last" in text)

    picked = [TEXTS[place] for place in rank(TEXTS, encoder=encoder, model=model, k=6)]
    assert sum(map(taste, picked)) / 6 > sum(map(taste, TEXTS)) / len(TEXTS) + 0.3


def test_without_a_model_to_trust_texts_differ(encoder):
    assert len(set(rank(TEXTS, encoder=encoder, model=None, k=5))) == 5


def test_few_candidates_are_all_there(model, encoder):
    assert rank([], encoder=encoder, model=model, k=3) == []
    assert rank(["one"], encoder=encoder, model=model, k=3) == [0]
    both = rank(["one", "one"], encoder=encoder, model=model, k=3)
    assert sorted(both) == [0, 1]
