import pytest

from generator.reward import fit_reward_model, open_encoder, rank
from tests.generator.reward.made_texts import ENDS, TWISTS, made_examples

TEXTS = [f"Save money {twist} {end}" for twist in TWISTS for end in ENDS]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return open_encoder("wordllama", tmp_path_factory.mktemp("none"))


@pytest.fixture(scope="module")
def model(encoder):
    return fit_reward_model(made_examples(60), encoder)


def test_the_best_come_first_without_diversity(model, encoder):
    ranked = rank(TEXTS, encoder=encoder, model=model, k=len(TEXTS), diversity=0.0)
    scores = [each.score for each in ranked]
    assert sorted(scores, reverse=True) == scores
    assert sorted(each.place for each in ranked) == list(range(len(TEXTS)))
    assert "for free" in TEXTS[ranked[0].place]
    assert all(each.low < each.score < each.high for each in ranked)


def test_diversity_spreads_what_is_picked(model, encoder):
    def closest(diversity):
        picked = rank(TEXTS, encoder=encoder, model=model, k=6, diversity=diversity)
        return max(each.closeness for each in picked)

    assert closest(2.0) < closest(0.0)


def test_it_picks_better_than_all(model, encoder):
    def taste(text):
        return ("for free" in text) - ("like a king" in text) + 0.5 * ("at last" in text)

    picked = [TEXTS[r.place] for r in rank(TEXTS, encoder=encoder, model=model, k=6)]
    assert sum(map(taste, picked)) / 6 > sum(map(taste, TEXTS)) / len(TEXTS) + 0.3


def test_without_a_model_to_trust_scores_are_nothing(encoder):
    ranked = rank(TEXTS, encoder=encoder, model=None, k=5)
    assert [each.score for each in ranked] == [0.0] * 5
    assert len({each.place for each in ranked}) == 5


def test_few_candidates_are_all_there(model, encoder):
    assert rank([], encoder=encoder, model=model, k=3) == []
    assert [each.place for each in rank(["one"], encoder=encoder, model=model, k=3)] == [0]
    both = rank(["one", "one"], encoder=encoder, model=model, k=3)
    assert sorted(each.place for each in both) == [0, 1]
