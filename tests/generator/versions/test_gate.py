"""The gate: what each rule holds a version to, and that no single one is enough."""

import numpy as np
import pytest

from bandit.ope.intervals import Interval
from generator.brief.prompts import PRODUCTS
from generator.brief.schema import Brief
from generator.errors import GateError
from generator.reward.model import Accuracy, TextRewardModel
from generator.reward.regression import Ridge
from generator.versions.gate import GateConfig, held_out, judge, passed, rows, verdict
from generator.writing.texts import Sampler, Samples, SamplingConfig, take_samples
from tests.generator.scripted import Scripted

BRIEF = Brief(product="coffee beans by post", keywords=("coffee", "mornings"))
GOOD = [
    'Coffee for calm mornings"',
    'Fresh coffee at your door"',
    'Wake up to good coffee"',
    'Better mornings begin here"',
]
CONFIG = GateConfig(sampling=SamplingConfig(samples=4))


class Likely(Scripted):
    """Says that texts are so likely, per token, with an adapter and without one."""

    def __init__(self, lines, taught=-1.0, bare=-2.0):
        super().__init__(lines)
        self.taught, self.bare = taught, bare

    def surprise(self, texts, *, after, adapter=None):
        return [-self.bare if adapter is None else -self.taught] * len(texts)


def samples(n=100, *, passing=100, distinct=100, harm=0, text="text"):
    texts = [f"{text} {number % distinct}" for number in range(n)]
    return Samples([texts], [[None] * passing + ["grammar"] * (n - passing)], harm)


def by_rule(ours, theirs=None, kl=1.0, config=CONFIG, reward=None):
    table = rows(ours, theirs or samples(), kl, config, reward)
    assert [row.rule for row in table] == [
        "pass_rate", "distinct", "kl", "reward_gain", "no_new_harm",
    ]  # fmt: skip
    return {row.rule: row for row in table}


def refused(**found):
    return {rule for rule, row in by_rule(**found).items() if not row.passed}


class Numbered:
    """Reads a text as the number that it ends with."""

    name = "numbered"

    def __call__(self, texts):
        return np.array([[float(text.split()[-1])] for text in texts]), np.zeros(1, dtype=int)


def reward_model(low, weight):
    """One that expects so much more of a text for every count of its number."""
    ridge = Ridge(np.array([weight]), np.ones(1), np.eye(1), 0.1, 0.01)
    accuracy = Accuracy(0.7, Interval("bootstrap", 0.95, low, 0.9), 100)
    return TextRewardModel(Numbered(), ridge, accuracy, 1.0)


def test_one_that_writes_as_the_champion_does_passes():
    assert refused(ours=samples()) == set()


@pytest.mark.parametrize(
    ("passing", "champion", "bound", "passes"),
    [(95, 50, 0.95, True), (94, 50, 0.95, False), (98, 100, 0.98, True), (97, 100, 0.98, False)],
)
def test_pass_rate_is_held_to_the_champion_and_to_95_percent(passing, champion, bound, passes):
    row = by_rule(samples(passing=passing), samples(passing=champion))["pass_rate"]
    assert (row.value, row.bound, row.passed) == (passing / 100, bound, passes)
    assert "most others refused as grammar" in row.why


@pytest.mark.parametrize(("distinct", "passes"), [(72, True), (71, False)])
def test_one_that_repeats_itself_is_refused(distinct, passes):
    row = by_rule(samples(distinct=distinct), samples(distinct=90))["distinct"]
    assert (row.passed, row.bound) == (passes, pytest.approx(0.72))


def test_one_that_left_the_language_is_refused():
    assert refused(ours=samples(), kl=3.1) == {"kl"}
    assert refused(ours=samples(), kl=3.1, config=GateConfig(most_kl=4.0)) == set()


def test_new_harm_is_refused_and_old_is_not():
    assert refused(ours=samples(harm=1)) == {"no_new_harm"}
    assert refused(ours=samples(harm=1), theirs=samples(harm=1)) == set()


def test_an_over_trained_one_is_refused_by_name():
    """One line for ever: it passes the screen, and little else."""
    table = tuple(by_rule(samples(distinct=2), kl=7.0).values())
    assert not passed(table)
    said = verdict(table)
    assert said.startswith("distinct: 2.0% of its texts are distinct")
    assert "; kl: 7 nats" in said


@pytest.mark.parametrize(
    ("model", "why"),
    [(None, "there is no reward model"), (reward_model(0.45, 1.0), "reward model not trusted")],
)
def test_reward_is_not_counted_without_a_model_that_is_trusted(model, why):
    row = by_rule(samples(), reward=model)["reward_gain"]
    assert (row.value, row.bound, row.passed) == (None, None, True)
    assert row.why == f"not counted: {why}"


@pytest.mark.parametrize(
    ("weight", "distinct", "passes"), [(0.01, 100, True), (-0.01, 100, False), (0.01, 50, False)]
)
def test_the_expected_gain_must_surely_be_above_zero(weight, distinct, passes):
    ours, theirs = samples(distinct=distinct), samples(distinct=50)
    row = by_rule(ours, theirs, reward=reward_model(0.6, weight))["reward_gain"]
    assert (row.passed, row.bound) == (passes, 0.0)
    assert (row.value > 0) == passes


def test_no_gain_is_expected_of_what_does_not_pass():
    row = by_rule(samples(passing=1), reward=reward_model(0.6, 1.0))["reward_gain"]
    assert (row.value, row.passed) == (None, False)


def test_the_same_writer_and_settings_take_the_same_samples():
    briefs = [BRIEF, Brief(product="wool socks", keywords=("socks",))]
    first = take_samples(Sampler(Likely(GOOD)), briefs, CONFIG.sampling)
    assert take_samples(Sampler(Likely(GOOD)), briefs, CONFIG.sampling) == first
    backend = Likely(GOOD)
    take_samples(Sampler(backend), briefs[:1], CONFIG.sampling)
    take_samples(Sampler(backend), briefs[::-1], CONFIG.sampling)
    assert backend.seeds[0] == backend.seeds[2] != backend.seeds[1]


def test_what_is_judged_is_what_a_taught_model_is_asked():
    backend = Likely(GOOD)
    found = take_samples(Sampler(backend), [BRIEF], CONFIG.sampling)
    assert backend.asked == ['Product: coffee beans by post\nHeadline: "'] * 4
    assert found.passed == [[line[:-1] for line in GOOD]]


def test_harm_counts_where_another_gate_refused_first():
    lines = ['coffee you shit"', 'Kill yourself with coffee www.beans"', *GOOD[:2]]
    found = take_samples(Sampler(Likely(lines)), [BRIEF], CONFIG.sampling)
    assert found.harm == 2


def test_judged_end_to_end():
    taught, bare = Likely(GOOD), Likely(['coffee"', "no end to it", *GOOD[:2]])
    table = judge(Sampler(taught, "adapter"), Sampler(bare), CONFIG, briefs=[BRIEF])
    assert passed(table)
    assert table[2].value == pytest.approx(1.0)
    worse = judge(Sampler(bare, "adapter"), Sampler(taught), CONFIG, briefs=[BRIEF])
    assert [row.rule for row in worse if not row.passed] == ["pass_rate"]


def test_a_model_that_cannot_weigh_texts_is_no_judge():
    with pytest.raises(GateError, match="judge with the model itself"):
        judge(Sampler(Scripted(GOOD)), Sampler(Scripted(GOOD)), CONFIG, briefs=[BRIEF])


def test_held_out_briefs_are_of_products_that_prompts_do_not_show():
    products = {brief.product for brief in held_out()}
    assert len(products) >= 4
    assert products.isdisjoint(PRODUCTS)
