import json

import numpy as np
import pytest
from typer.testing import CliRunner

from bandit.ope.estimators.snips import SnipsSums
from generator.__main__ import app
from generator.errors import RewardModelError
from generator.generate import AS_THEY_COME
from generator.promising import OVER, Promising, ranking_of
from generator.reward import fit_reward_model, open_encoder
from generator.rotation import RotationState
from streams.catalogue import Catalogue
from streams.events import Creative
from tests.generator.reward.made_texts import made_examples


def told(n_groups, *, taste=True, showings=20_000):
    """Returns states and a catalogue in which texts earned what a hidden taste says."""
    examples = made_examples(n_groups, showings=showings, **({} if taste else {"taste": {}}))
    catalogue, states = Catalogue(), {}
    for number, example in enumerate(examples):
        creative = Creative(
            id=f"c{number}",
            placement=example.group,
            parts={"headline": example.text},
            status="live",
            timestamp_ms=0,
        )
        catalogue.apply(creative, 0)
        state = states.setdefault(example.group, RotationState())
        state.spans[creative.id] = {0: SnipsSums(showings, showings, showings * example.rate)}
    return states, catalogue


TEXTS = ["Run further like a king today", "Run further for free at last", "Run further by train"]


def test_what_the_log_tells_ranks_the_texts():
    selection = Promising("wordllama").selection(*told(40))
    assert selection.over == OVER
    assert selection.rank(TEXTS)[0] == 1


def test_without_a_taste_or_with_little_told_texts_are_kept_as_they_come():
    promising = Promising("wordllama")
    assert promising.selection(*told(40, taste=False)) == AS_THEY_COME
    assert promising.selection(*told(2)) == AS_THEY_COME
    assert promising.selection({}, Catalogue()) == AS_THEY_COME


def test_an_unknown_reader_is_refused_at_the_start():
    with pytest.raises(RewardModelError, match="no reader is called 'gpt'"):
        Promising("gpt")


def test_a_saved_model_ranks_only_if_it_is_trusted(tmp_path):
    encoder = open_encoder("wordllama", tmp_path)
    good, bad = tmp_path / "good", tmp_path / "bad"
    examples = made_examples(40)
    fit_reward_model(examples, encoder).save(good)
    assert ranking_of(good)(TEXTS)[0] == 1
    rates = np.random.default_rng(1).permutation([example.rate for example in examples])
    shuffled = [e._replace(rate=float(rate)) for e, rate in zip(examples, rates, strict=True)]
    fit_reward_model(shuffled, encoder).save(bad)
    with pytest.raises(RewardModelError, match="must surely be above one half"):
        ranking_of(bad)


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
    assert ranking_of(tmp_path / "m")(TEXTS)[0] == 1
