import msgspec
import numpy as np
import pytest

from generator.errors import RewardModelError
from generator.reward.encoders import TextEncoder
from generator.reward.model import (
    fit_reward_model,
    group_examples,
    load_reward_model,
    logistic,
    measure_accuracy,
)
from generator.reward.regression import Pairs, significant_pairs
from tests.generator.reward.made_texts import made_examples


def test_it_finds_the_taste_and_trusts_itself(model):
    assert model.accuracy.trusted
    assert model.accuracy.value > 0.8
    better, worse = model.score(
        ["Run further for free at last", "Run further like a king today"]
    ).value
    assert logistic(model.slope * (better - worse)) > 0.9


def test_unseen_groups_are_ranked_as_they_are(model, encoder):
    grouped = group_examples(made_examples(40, seed=1), encoder)
    pairs = significant_pairs(grouped)
    seen = measure_accuracy(model.score_vectors(grouped.x).value, pairs, grouped.group, seed=0)
    assert seen.value > 0.8
    # what it said of itself, on held-out groups, is what it then does
    assert abs(seen.value - model.accuracy.value) < 0.06


def test_chances_are_calibrated(model, encoder):
    grouped = group_examples(made_examples(300, seed=2, showings=4000), encoder)
    pairs = significant_pairs(grouped)
    scores = model.score_vectors(grouped.x).value
    chance = 1 / (1 + np.exp(-model.slope * np.abs(scores[pairs.better] - scores[pairs.worse])))
    right = scores[pairs.better] > scores[pairs.worse]
    assert abs(chance.mean() - right.mean()) < 0.08


def test_bounds_hold_the_share_by_which_texts_are_better(encoder):
    model = fit_reward_model(made_examples(60, showings=3000), encoder)
    grouped = group_examples(made_examples(60, seed=3, showings=1_000_000), encoder)
    scores = model.score_vectors(grouped.x)
    level = np.bincount(grouped.group, grouped.rate) / np.bincount(grouped.group)
    mean = np.bincount(grouped.group, scores.value) / np.bincount(grouped.group)
    above = grouped.rate / level[grouped.group] - 1 + mean[grouped.group]
    covered = ((scores.low <= above) & (above <= scores.high)).mean()
    assert covered > 0.9


def test_a_model_of_shuffled_rates_is_not_trusted(encoder):
    examples = made_examples(60)
    rates = np.random.default_rng(5).permutation([example.rate for example in examples])
    shuffled = [e._replace(rate=float(rate)) for e, rate in zip(examples, rates, strict=True)]
    model = fit_reward_model(shuffled, encoder)
    assert not model.accuracy.trusted
    assert model.slope < 2.0


def test_one_group_is_enough_if_it_is_large(encoder):
    model = fit_reward_model(made_examples(1, size=120), encoder)
    assert model.accuracy.trusted


def test_few_texts_or_none_that_earned_are_refused(encoder):
    with pytest.raises(RewardModelError, match="expected at least 20"):
        fit_reward_model(made_examples(3), encoder)
    with pytest.raises(RewardModelError, match="0 texts were tried beside others"):
        fit_reward_model([e._replace(rate=0.0) for e in made_examples(60)], encoder)


def test_texts_that_were_tried_alone_teach_nothing(encoder):
    alone = [e._replace(group=str(k)) for k, e in enumerate(made_examples(20))]
    with pytest.raises(RewardModelError, match="0 texts were tried beside others"):
        fit_reward_model(alone, encoder)


def test_it_comes_back_from_its_file(model, encoder, tmp_path):
    path = tmp_path / "reward.model"
    model.save(path)
    again = load_reward_model(path, tmp_path)
    texts = ["Sleep well for free", "Drink less by train"]
    assert np.array_equal(again.score(texts).value, model.score(texts).value)
    assert np.array_equal(again.score(texts).low, model.score(texts).low)
    assert (again.accuracy, again.slope) == (model.accuracy, model.slope)


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "reward.model"
    with pytest.raises(RewardModelError, match="no reward model in"):
        load_reward_model(path, tmp_path)
    path.write_bytes(msgspec.msgpack.encode({"v": 1}))
    with pytest.raises(RewardModelError, match="no reward model in"):
        load_reward_model(path, tmp_path)


def test_the_accuracy_of_constant_scores_is_one_half():
    pairs = Pairs(np.array([0, 1]), np.array([2, 3]))
    accuracy = measure_accuracy(np.zeros(4), pairs, np.zeros(4, dtype=np.int64), seed=0)
    assert accuracy.value == 0.5


def test_shuffled_rates_of_a_dozen_groups_are_rarely_trusted(encoder):
    examples = made_examples(12, size=20, showings=3000)
    vectors = encoder([example.text for example in examples])
    trusted = 0
    for seed in range(60):
        order = np.random.default_rng(seed).permutation(len(examples))
        shuffled = [
            example._replace(rate=examples[k].rate, variance=examples[k].variance)
            for example, k in zip(examples, order, strict=True)
        ]
        trusted += fit_reward_model(
            shuffled, TextEncoder("read", [lambda texts: vectors[0]])
        ).accuracy.trusted
    # an interval over groups alone is too narrow for a dozen: 8 of these 60 were trusted
    assert trusted <= 2
