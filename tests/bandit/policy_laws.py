"""What holds of policies. A suite inherits `PolicyLaws`, which hold of every one, and those of the
other laws that its policy claims; `spec` is the policy, as on the command line.
"""

import json
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from bandit.errors import FeatureError, LearnError, PolicyStateError
from bandit.policies import load_policy, open_policy, parse_policy
from bandit.policy import Correctable, HasPosterior, Policy, is_context_free, sample, take_over
from streams.events import Action, Decision
from tests.bandit.decisions import a_decision

law = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
)

CONTEXTS = [
    {},
    {"hour": 9, "user": {"plan": "free", "age": 0.33, "new": True}},
    {"hour": 21, "user": {"plan": "paid|: \n€", "tags": ["a", "b"]}, "device": {"size": [1, 2.5]}},
]
POOL = [
    {},
    {"text": {"length": 0.4, "question": True}, "embedding": [0.1, -0.25, 0.5]},
    {"text": {"length": 0.9}, "embedding": [-0.3, 0.0, 0.2], "tone": "loud"},
    {"text": {"length": 0.1}, "material": {"words": ["red", "new|car: now\n"]}},
    {"tone": "plain", "price": 9.99},
]


def raw(value):
    return Raw(json.dumps(value).encode())


def action(number):
    return Action(f"creative {number}|é", raw(POOL[number % len(POOL)]))


class Step(NamedTuple):
    """One decision among some of the pool, and what it earned."""

    context: int
    actions: list[int]
    chosen: int
    reward: float

    def decision(self, number=0):
        actions = tuple(map(action, self.actions))
        pmf = np.linspace(1.0, 2.0, len(actions))
        return a_decision(
            f"e{number}",
            actions,
            pmf / pmf.sum(),
            self.chosen % len(actions),
            at_ms=number,
            context=CONTEXTS[self.context],
        )


some_actions = st.lists(st.integers(0, 7), min_size=1, max_size=6, unique=True)
contexts = st.integers(0, len(CONTEXTS) - 1)
rewards = st.sampled_from([0.0, 0.0, 1.0, 0.25])
steps = st.builds(Step, contexts, some_actions, st.integers(0, 5), rewards)
histories = st.lists(steps, max_size=12)


def teach(policy: Policy, history, first=0):
    for number, step in enumerate(history, first):
        policy.learn(step.decision(number), step.reward)
    return policy


def ask(policy: Policy, context: int, numbers):
    return policy.pmf(raw(CONTEXTS[context]), tuple(map(action, numbers)))


class _Suite:
    spec: ClassVar[str]

    def new(self) -> Policy:
        return open_policy(parse_policy(self.spec))

    def after(self, history) -> Policy:
        return teach(self.new(), history)


class PolicyLaws(_Suite):
    """What holds of every policy."""

    @law
    @given(history=histories, context=contexts, numbers=some_actions)
    def test_a_pmf_is_a_pmf(self, history, context, numbers):
        pmf = ask(self.after(history), context, numbers)
        assert pmf.shape == (len(numbers),)
        assert pmf.dtype == np.float64
        assert (pmf >= 0.0).all()
        assert pmf.sum() == pytest.approx(1.0, abs=1e-9)

    @law
    @given(history=histories, context=contexts, numbers=some_actions, data=st.data())
    def test_permuting_the_actions_permutes_the_pmf(self, history, context, numbers, data):
        policy = self.after(history)
        order = data.draw(st.permutations(range(len(numbers))))
        pmf = ask(policy, context, numbers)
        permuted = ask(policy, context, [numbers[i] for i in order])
        np.testing.assert_array_equal(permuted, pmf[list(order)])

    @law
    @given(history=histories, numbers=some_actions)
    def test_who_says_that_it_reads_no_context_reads_none(self, history, numbers):
        policy = self.after(history)
        if is_context_free(policy):
            actions = tuple(map(action, numbers))
            asked = [*map(raw, CONTEXTS), raw({"deep": [[None]]})]
            assert len({policy.pmf(context, actions).tobytes() for context in asked}) == 1

    @law
    @given(history=histories, context=contexts, numbers=some_actions)
    def test_asking_leaves_no_trace(self, history, context, numbers):
        asked = self.new()
        for number, step in enumerate(history):
            ask(asked, context, numbers)
            asked.learn(step.decision(number), step.reward)
            ask(asked, step.context, step.actions)
        unasked = self.after(history)
        assert asked.to_bytes() == unasked.to_bytes()
        np.testing.assert_array_equal(ask(asked, context, numbers), ask(unasked, context, numbers))

    @law
    @given(history=histories, context=contexts, numbers=some_actions)
    def test_bytes_hold_the_whole_policy(self, history, context, numbers):
        policy = self.after(history)
        again = load_policy(policy.to_bytes())
        assert again.spec == policy.spec
        np.testing.assert_array_equal(ask(again, context, numbers), ask(policy, context, numbers))
        assert again.to_bytes() == policy.to_bytes()

    @law
    @given(history=histories, more=steps, context=contexts, numbers=some_actions)
    def test_what_is_taken_over_changes_nothing(self, history, more, context, numbers):
        before = self.after(history)
        ask(before, context, numbers)
        plain = teach(self.after(history), [more], len(history))
        after = load_policy(plain.to_bytes())
        take_over(after, before)
        np.testing.assert_array_equal(ask(after, context, numbers), ask(plain, context, numbers))
        assert after.to_bytes() == plain.to_bytes()

    @law
    @given(history=histories, cuts=st.sets(st.integers(1, 11), max_size=3))
    def test_the_same_log_gives_the_same_bytes_wherever_it_was_resumed(self, history, cuts):
        policy = self.new()
        for number, step in enumerate(history):
            if number in cuts:
                policy = load_policy(policy.to_bytes())
            policy.learn(step.decision(number), step.reward)
        assert policy.to_bytes() == self.after(history).to_bytes()

    @law
    @given(history=histories, numbers=some_actions)
    def test_who_believes_says_so_of_each_action_and_lies_within_its_bounds(self, history, numbers):
        policy = self.after(history)
        if isinstance(policy, HasPosterior):
            beliefs = policy.beliefs(tuple(map(action, numbers)))
            assert [b.creative_id for b in beliefs] == [action(n).id for n in numbers]
            assert all(b.low < b.mean < b.high for b in beliefs)
            again = load_policy(policy.to_bytes()).beliefs(tuple(map(action, numbers)))
            assert again == beliefs

    @law
    @given(history=histories, context=contexts, number=st.integers(0, 7))
    def test_a_single_action_is_certain(self, history, context, number):
        assert ask(self.after(history), context, [number]).tolist() == [1.0]

    @law
    @given(history=histories, context=contexts)
    def test_an_action_may_be_offered_twice(self, history, context):
        policy = self.after([*history, Step(context, [1, 2, 1], 2, 1.0)])
        pmf = ask(policy, context, [1, 2, 1])
        assert pmf.sum() == pytest.approx(1.0, abs=1e-9)
        assert (pmf >= 0.0).all()

    @law
    @given(history=histories, context=contexts)
    def test_an_unseen_action_may_be_chosen(self, history, context):
        numbers = sorted({number for step in history for number in step.actions})
        assert ask(self.after(history), context, [*numbers, 9])[-1] > 0.0

    def test_its_spec_makes_it_anew(self):
        policy = self.new()
        spec = json.loads(json.dumps(policy.spec))
        assert open_policy(spec).to_bytes() == policy.to_bytes()
        assert open_policy(spec).spec == spec

    @law
    @given(history=histories, data=st.data())
    def test_damaged_bytes_are_refused(self, history, data):
        state = self.after(history).to_bytes()
        at = data.draw(st.integers(0, len(state) - 1))
        flipped = bytearray(state)
        flipped[at] ^= data.draw(st.integers(1, 255))
        for damaged in (bytes(flipped), state[:at]):
            with pytest.raises(PolicyStateError):
                load_policy(damaged)


class LearningLaws(_Suite):
    """What holds of a policy that learns; `largest_reward` is the highest that it takes."""

    largest_reward: ClassVar[float] = 1.0

    def test_it_comes_to_prefer_the_better_action(self):
        policy, rates = self.new(), [0.05, 0.15, 0.45]
        rng = np.random.default_rng(7)
        for number in range(600):
            pmf = ask(policy, number % 3, [0, 1, 2])
            index = sample(pmf, f"{number}")
            reward = float(rng.random() < rates[index])
            step = Step(number % 3, [0, 1, 2], index, reward)
            decision = step.decision(number)
            policy.learn(Decision(**{**as_dict(decision), "pmf": tuple(pmf.tolist())}), reward)
        final = np.mean([ask(policy, context, [0, 1, 2]) for context in range(3)], axis=0)
        assert final.argmax() == 2
        assert final[2] > 0.6

    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_a_reward_beyond_its_range_is_refused_and_changes_nothing(self, sign):
        policy, decision = self.after([Step(0, [0, 1], 0, 1.0)]), Step(0, [0, 1], 1, 0.0).decision()
        before = policy.to_bytes()
        for reward in (sign * self.largest_reward * 1.01, sign * np.inf, np.nan):
            with pytest.raises(LearnError) as caught:
                policy.learn(decision, reward)
            assert caught.value.code == "reward_out_of_range"
        assert policy.to_bytes() == before


class CorrectionLaws(_Suite):
    """What holds of a policy that can be corrected; `between` is a reward that it was once told."""

    between: ClassVar[float] = 0.5

    def same(self, one: Policy, other: Policy) -> bool:
        """Whether two states are equal, up to rounding where arithmetic is not exact."""
        return one.to_bytes() == other.to_bytes()

    @law
    @given(history=histories, data=st.data())
    def test_corrected_rewards_lead_where_the_final_ones_would_have(self, history, data):
        policy = self.new()
        assert isinstance(policy, Correctable)
        finals = [step._replace(reward=data.draw(rewards)) for step in history]
        teach(policy, history)
        for number in data.draw(st.permutations(range(len(history)))):
            decision = finals[number].decision(number)
            policy.correct(decision, history[number].reward, self.between)
            policy.correct(decision, self.between, finals[number].reward)
        assert self.same(policy, self.after(finals))


class FeatureLaws(_Suite):
    """What holds of a policy that reads features."""

    @pytest.mark.parametrize("where", ["context", "features"])
    def test_features_that_cannot_be_read_are_refused_and_change_nothing(self, where):
        policy = self.after([Step(0, [0, 1], 0, 1.0)])
        before = policy.to_bytes()
        good = Step(1, [0, 1], 1, 1.0).decision()
        fields = as_dict(good)
        if where == "context":
            fields["context"] = raw([1])
        else:
            fields["actions"] = (good.actions[0], Action("bad", raw({"a": [None]})))
        bad = Decision(**fields)
        with pytest.raises(FeatureError):
            policy.pmf(bad.context, bad.actions)
        with pytest.raises(FeatureError):
            policy.learn(bad, 1.0)
        assert policy.to_bytes() == before


def as_dict(decision):
    return {name: getattr(decision, name) for name in decision.__struct_fields__}
