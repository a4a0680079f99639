"""Candidates in order of what they promise, by a model of the log or of a file."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from bandit.ope.estimators.snips import SnipsSums
from generator.commands.main import generator_app as app
from generator.errors import RewardModelError
from generator.refresh import RotationState
from generator.reward.model import fit_reward_model
from generator.reward.ranking import OVER, CandidateRanking, open_trusted, rank, ranked_by
from generator.writing.texts import AS_THEY_COME
from streams.catalogue.state import Catalogue
from tests.bandit.decisions import a_creative
from tests.generator.reward.made_texts import ENDS, TWISTS, made_examples

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


def told(n_groups, *, taste=True, showings=20_000):
    """Returns states and a catalogue in which texts earned what a hidden taste says."""
    examples = made_examples(n_groups, showings=showings, **({} if taste else {"taste": {}}))
    catalogue, states = Catalogue(), {}
    for number, example in enumerate(examples):
        creative = a_creative(f"c{number}", example.text, placement=example.group)
        catalogue.apply(creative, 0)
        state = states.setdefault(example.group, RotationState())
        state.spans[creative.id] = {0: SnipsSums(showings, showings, showings * example.rate)}
    return states, catalogue


HEADLINES = [
    "Run further like a king today",
    "Run further for free at last",
    "Run further by train",
]


def test_what_the_log_tells_ranks_the_texts():
    selection = CandidateRanking("wordllama").selection(*told(40))
    assert selection.over == OVER
    assert selection.rank(HEADLINES)[0] == 1


def test_without_a_taste_or_with_little_told_texts_are_kept_as_they_come():
    promising = CandidateRanking("wordllama")
    assert promising.selection(*told(40, taste=False)) == AS_THEY_COME
    assert promising.selection(*told(2)) == AS_THEY_COME
    assert promising.selection({}, Catalogue()) == AS_THEY_COME


def test_an_unknown_reader_is_refused_at_the_start():
    with pytest.raises(RewardModelError, match="no reader is called 'gpt'"):
        CandidateRanking("gpt")


def test_a_saved_model_ranks_only_if_it_is_trusted(encoder, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    examples = made_examples(40)
    fit_reward_model(examples, encoder).save(good)
    assert ranked_by(open_trusted(good))(HEADLINES)[0] == 1
    rates = np.random.default_rng(1).permutation([example.rate for example in examples])
    shuffled = [e._replace(rate=float(rate)) for e, rate in zip(examples, rates, strict=True)]
    fit_reward_model(shuffled, encoder).save(bad)
    with pytest.raises(RewardModelError, match="must surely be above one half"):
        ranked_by(open_trusted(bad))


def test_the_command_learns_from_tests(tmp_path):
    rows = ["test,headline,impressions,clicks,week"]
    rows += [
        f"{e.group},{e.text} {k},20000,{round(20000 * e.rate)},201301"
        for k, e in enumerate(made_examples(40))
    ]
    tests = tmp_path / "tests.csv"
    tests.write_text("\n".join(rows))
    words = ["reward-model", str(tmp_path / "m"), "--tests", str(tests), "--format", "json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["trusted"]
    assert found["groups"] == 40
    assert ranked_by(open_trusted(tmp_path / "m"))(HEADLINES)[0] == 1
