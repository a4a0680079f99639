"""Showings that do not count yet: the laws, fairness to the young, and the curve from a log."""

import json
import threading

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.abtests.prior import QUANTILES, fit_delay
from bandit.errors import PolicySpecError, ReplayError
from bandit.policies import load_policy, open_policy
from bandit.policies.base import unseal
from bandit.policies.delayed_feedback import BUCKETS, DelayedFeedback
from streams.archive import run_archive
from streams.events import EMPTY, INTERACTIONS, Action, Decision, Interaction, Outcome, encode
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit.policy_laws import CorrectionLaws, LearningLaws, PolicyLaws

HOUR_MS = 3_600_000


class TestMaturingLaws(PolicyLaws, LearningLaws, CorrectionLaws):
    """Steps are a millisecond apart, so most of a history is still waiting."""

    spec = 'text_thompson:weights={"text.length":0.4},delay=[0.008]'

    def same(self, one, other):
        return alike(one, other)


class TestMaturingSegmentsLaws(PolicyLaws, CorrectionLaws):
    spec = 'text_thompson:segments=["user.plan"],weights={"text.length":0.4}'

    def new(self):
        return open_policy(
            {"name": "text_thompson", "segments": ["user.plan"], "delay": [0.002, 1]}
        )

    def same(self, one, other):
        return alike(one, other)


def alike(one, other):
    """Whether two policies' states are equal, sums up to rounding."""
    (arms, *sums, segments, waiting), (other_arms, *other_sums, others, also) = (
        msgspec.msgpack.decode(unseal(policy.to_bytes())[1]) for policy in (one, other)
    )
    close = np.allclose(sums, other_sums, rtol=0.0, atol=1e-12)
    return (arms, segments, waiting) == (other_arms, others, also) and close


def decided(name, at_ms, number):
    return Decision(
        event_id=f"e{number}",
        placement="home",
        timestamp_ms=at_ms,
        context=EMPTY,
        actions=(Action("old"), Action("young")),
        pmf=(0.5, 0.5),
        index=("old", "young").index(name),
        policy_version="v",
    )


def test_showings_count_as_far_as_the_curve_says():
    maturing = DelayedFeedback([100.0])  # everything comes evenly within 100 s
    for at_ms in (0, 0, 50_000):
        maturing.learn("a", at_ms)
    maturing.learn("b", 75_000)
    half_a_bucket = 0.5 / BUCKETS
    assert maturing.missing("a") == pytest.approx(2 * 0.25 + 0.75, abs=4 * half_a_bucket)
    assert maturing.missing("b") == pytest.approx(1.0, abs=2 * half_a_bucket)
    maturing.learn("b", 150_000)
    assert maturing.missing("a") == pytest.approx(0.0, abs=2 * half_a_bucket)
    maturing.learn("b", 400_000)
    assert maturing.missing("a") == 0.0
    assert maturing.missing("unknown") == 0.0


def test_order_does_not_matter_and_the_state_stays_small():
    times = [int(t) for t in np.random.default_rng(0).integers(0, 300_000, 500)]
    one, other = DelayedFeedback([1.0, 60.0]), DelayedFeedback([1.0, 60.0])
    for at_ms in times:
        one.learn("a", at_ms)
    for at_ms in sorted(times):
        other.learn("a", at_ms)
    assert one.missing("a") == pytest.approx(other.missing("a"))
    assert one.to_bytes() == other.to_bytes()
    assert len(one.to_bytes()) < 8 * BUCKETS


def test_the_young_are_not_judged_by_conversions_that_cannot_have_come():
    """Both convert alike after two hours; one has been shown for a day, the other for an hour."""

    def after(spec, young_hours=1):
        policy, number = open_policy(spec), 0
        for name, hours in (("old", 24), ("young", young_hours)):
            for at_ms in range((24 - hours) * HOUR_MS, 24 * HOUR_MS, HOUR_MS // 100):
                decision = decided(name, at_ms, number)
                policy.learn(decision, 0.0)
                number += 1
                if number % 20 == 0 and at_ms <= 22 * HOUR_MS:
                    policy.correct(decision, 0.0, 1.0)
        return policy.pmf(EMPTY, decided("old", 0, 0).actions)[1]

    plain = {"name": "text_thompson", "weights": {}}
    fair = plain | {"delay": [7180.0 + k for k in range(20)]}
    as_new = after(fair, young_hours=0)
    assert after(plain) < 0.5 * as_new
    assert after(fair) > 0.7 * as_new


def interactions(delays):
    """A log of clicks after these delays, one decision a second."""
    for number, delay in enumerate(delays):
        at_ms = 1_000_000 + 1000 * number
        outcome = Outcome(
            event_id=f"e{number}",
            outcome_id=f"o{number}",
            kind="conversion",
            timestamp_ms=at_ms + int(1000 * delay),
        )
        decision = decided("old", at_ms, number)
        common = {"source": 0, "decision": decision, "timestamp_ms": at_ms}
        yield Interaction(sequence=2 * number, reward=0.0, status="provisional", **common)
        yield Interaction(
            sequence=2 * number + 1, reward=1.0, previous_reward=0.0, status="corrected",
            outcomes=(outcome,), **common,
        )  # fmt: skip


def test_the_curve_is_the_quantiles_of_what_has_had_time_to_come():
    delays = 100.0 * np.random.default_rng(1).weibull(0.6, 20_000)
    found = fit_delay(interactions(delays))
    assert len(found) == QUANTILES
    expected = np.quantile(delays, np.arange(1, QUANTILES) / QUANTILES)
    np.testing.assert_allclose(found[:-1], expected, rtol=0.12)
    spec = {"name": "text_thompson", "delay": found}
    policy = open_policy(spec)
    assert load_policy(policy.to_bytes()).spec == policy.spec


def test_what_cannot_be_a_curve_is_refused():
    with pytest.raises(ReplayError, match="50 rewards older than the longest delay"):
        fit_delay(interactions([0.0] * 50))
    with pytest.raises(PolicySpecError, match="ascending"):
        open_policy({"name": "text_thompson", "delay": [5.0, 1.0]})
    with pytest.raises(PolicySpecError):
        open_policy({"name": "text_thompson", "delay": []})


def test_the_command_prints_a_policy(tmp_path):
    empty = CliRunner().invoke(app, ["fit-delay", str(tmp_path)])
    assert "0 rewards older than the longest delay" in str(empty.exception)
    log = MemoryLog()
    create_topics(log, partitions=1)
    for event in interactions([5.0] * 300):
        log.append([Message(INTERACTIONS, b"home", encode(event))])
    stop = threading.Event()
    stop.set()
    run_archive(log, tmp_path, stop=stop)
    done = CliRunner().invoke(app, ["fit-delay", str(tmp_path)])
    assert open_policy(json.loads(done.stdout)).spec["delay"] == [5.0] * QUANTILES
    assert "half of the rewards take 5 s or less" in done.stderr
