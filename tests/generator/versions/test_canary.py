"""The canary: promoted when it surely earns more, pulled when it surely earns less."""

import random

import msgspec
import pytest

from generator.versions.canary import CHECKPOINT, CanaryJudge, MassDifference, decided
from generator.versions.registry import VersionRegistry
from streams.catalogue.state import catalogue_message
from streams.checkpoint import Checkpoints
from streams.events import (
    Lineage,
    Placement,
)
from streams.events.creatives import Canary, GeneratorVersion
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.bandit.decisions import a_creative
from tests.generator.shown import interaction, message

ACTIONS = ("old-1", "old-2", "new-1", "new-2", "by-hand")
PMF = (0.4, 0.3, 0.06, 0.04, 0.2)


def creative(name, adapter, model="m"):
    return a_creative(name, lineage=Lineage(model=model, adapter=adapter))


@pytest.fixture(params=["champion", "bare model"])
def log(tmp_path, request):
    """A log with a canary beside a champion, or beside the bare model."""
    opened = SqliteLog(tmp_path / "log.db")
    create_topics(opened)
    old = "v1" if request.param == "champion" else None
    events = [
        Placement(name="home"),
        creative("old-1", old),
        creative("old-2", old),
        creative("new-1", "v2"),
        creative("new-2", "v2"),
        creative("by-hand", None, model=None),
        GeneratorVersion(id="v2", status="canary", timestamp_ms=5, canary=Canary(since_ms=5)),
    ]
    if old:
        events.append(GeneratorVersion(id="v1", status="live", timestamp_ms=2))
    opened.append([catalogue_message(event) for event in events])
    yield opened
    opened.close()


def traffic(log, n, rates, *, seed=1, start=0, at_ms=10, status="closed"):
    """Appends decisions of which each creative earns by its rate, or by that of its kind."""
    draws, messages = random.Random(seed), []
    for number in range(start, start + n):
        [index] = draws.choices(range(len(PMF)), PMF)
        name = ACTIONS[index]
        reward = float(draws.random() < rates.get(name, rates[name.partition("-")[0]]))
        event = interaction(number, ACTIONS, index, reward, pmf=PMF, at_ms=at_ms, status=status)
        messages.append(message(event))
    log.append(messages)


def judged(log, directory):
    registry = VersionRegistry(log, "generator")
    judge = CanaryJudge(log, Checkpoints(directory))
    judge.judge(registry)
    judge.save()
    return registry.version("v2"), registry


def test_one_that_surely_earns_more_is_promoted(log, tmp_path):
    traffic(log, 3000, {"old": 0.1, "new": 0.6, "by": 1.0})
    version, registry = judged(log, tmp_path / "checkpoints")
    assert (version.status, version.by) == ("live", "generator")
    canary = version.canary
    assert canary.n == 3000
    assert canary.champion_low < 0.1 < canary.champion_high < canary.low < 0.6 < canary.high
    assert 0.0 < canary.gain_low < 0.5 < canary.gain_high
    assert version.reason == decided(canary)[1]
    assert {c.status for c in registry.catalogue.creatives("home")} == {"live"}


def test_the_difference_is_told_before_the_two_are_apart(log, tmp_path):
    traffic(log, 3000, {"old": 0.02, "new": 0.12, "by": 0.0})
    canary = judged(log, tmp_path / "checkpoints")[0].canary
    assert canary.low < canary.champion_high
    assert canary.gain_low > 0.0
    assert canary.gain_low < 0.1 < canary.gain_high


@pytest.mark.parametrize("mass", [0.5, 0.06, 0.002])
def test_the_difference_is_right_however_rarely_a_side_is_shown(mass):
    draws, gain = random.Random(3), MassDifference()
    for _ in range(4000):
        ours = draws.random() < mass
        share = float(draws.random() < (0.3 if ours else 0.2))
        weights = (1.0 / mass, 0.0) if ours else (0.0, 1.0 / (1.0 - mass))
        gain.take(weights, (mass, 1.0 - mass), share)
    low, high = gain.bounds()
    assert -1.0 <= low < 0.1 < high <= 1.0
    assert (low > 0.0) == (mass > 0.01)


def test_a_checkpoint_that_lacks_the_difference_is_made_anew_from_the_log(log, tmp_path):
    checkpoints, sums = Checkpoints(tmp_path / "checkpoints"), (9, [0.0] * 33)
    earlier = ("v2", "v1", 5, 9, 9, sums, sums, sums, sums)
    checkpoints.save(CHECKPOINT, msgspec.msgpack.encode(earlier), {})
    traffic(log, 3000, {"old": 0.1, "new": 0.6, "by": 1.0})
    version, _ = judged(log, tmp_path / "checkpoints")
    assert (version.status, version.canary.n) == ("live", 3000)


def test_one_that_surely_earns_less_is_pulled_with_its_creatives(log, tmp_path):
    traffic(log, 3000, {"old": 0.6, "new": 0.05, "by": 0.0})
    version, registry = judged(log, tmp_path / "checkpoints")
    assert version.status == "rejected"
    assert "of the reward range more than the champion" in version.reason
    retired = [c.id for c in registry.catalogue.creatives("home") if c.status == "retired"]
    assert retired == ["new-1", "new-2"]


def test_one_of_which_nobody_can_tell_stays_and_the_log_tells_how_it_does(log, tmp_path):
    traffic(log, 500, {"old": 0.3, "new": 0.3, "by": 0.0})
    version, _ = judged(log, tmp_path / "checkpoints")
    assert (version.status, version.canary.n) == ("canary", 500)
    assert version.canary.low < 0.3 < version.canary.high


def test_what_the_champion_wrote_since_the_trial_began_is_what_counts(log, tmp_path):
    old = VersionRegistry(log, "ann").catalogue.creative("home", "old-1").lineage
    fresh = a_creative("old-2", "anew", at_ms=5, lineage=old)
    log.append([catalogue_message(fresh)])
    # The one from before earns most, and was kept for that; the version beats what is new.
    traffic(log, 4000, {"old": 0.1, "old-1": 0.9, "new": 0.5, "by": 1.0})
    version, _ = judged(log, tmp_path / "checkpoints")
    assert version.status == "live"
    assert version.canary.champion_low < 0.1 < version.canary.champion_high < 0.5


def test_one_that_is_no_better_after_long_enough_is_pulled(log, tmp_path):
    judge = CanaryJudge(log, Checkpoints(tmp_path / "checkpoints"), longest=300)
    traffic(log, 250, {"old": 0.5, "new": 0.5, "by": 0.5})
    judge.judge(VersionRegistry(log, "generator"))
    assert VersionRegistry(log, "ann").version("v2").status == "canary"
    traffic(log, 150, {"old": 0.5, "new": 0.5, "by": 0.5}, seed=2, start=250)
    judge.judge(VersionRegistry(log, "generator"))
    found = VersionRegistry(log, "ann").version("v2")
    assert found.status == "rejected"
    assert "no better than the champion as far as" in found.reason


def test_a_judge_that_starts_again_goes_on_where_it_was(log, tmp_path):
    rates = {"old": 0.1, "new": 0.6, "by": 1.0}
    traffic(log, 200, rates)
    version, _ = judged(log, tmp_path / "checkpoints")
    assert version.status == "canary"
    traffic(log, 2800, rates, seed=2, start=200)
    resumed, _ = judged(log, tmp_path / "checkpoints")
    assert (resumed.status, resumed.canary.n) == ("live", 3000)


def test_what_was_decided_before_the_trial_and_what_is_not_closed_does_not_count(log, tmp_path):
    rates = {"old": 0.1, "new": 0.6, "by": 1.0}
    traffic(log, 1000, rates, at_ms=4)
    traffic(log, 1000, rates, start=1000, status="provisional")
    version, _ = judged(log, tmp_path / "checkpoints")
    assert (version.status, version.canary.n) == ("canary", 0)


def test_equal_ones_are_hardly_ever_told_apart(tmp_path):
    """Looked at every 100 decisions, as often as the interval likes: it holds at all times."""
    verdicts = []
    for seed in range(20):
        log = SqliteLog(tmp_path / f"{seed}.db")
        create_topics(log)
        events = [Placement(name="home"), creative("old-1", None), creative("old-2", None)]
        events += [creative("new-1", "v2"), creative("new-2", "v2")]
        events.append(GeneratorVersion(id="v2", status="canary", timestamp_ms=5))
        log.append([catalogue_message(event) for event in events])
        registry, judge = (
            VersionRegistry(log, "g"),
            CanaryJudge(log, Checkpoints(tmp_path / str(seed))),
        )
        for step in range(5):
            traffic(log, 100, {"old": 0.3, "new": 0.3, "by": 0.3}, seed=9 * seed + step,
                    start=100 * step)  # fmt: skip
            judge.judge(registry)
        verdicts.append(registry.version("v2").status)
        log.close()
    assert verdicts.count("canary") >= 19


def test_of_a_placement_with_a_unit_each_users_first_decision_counts(log, tmp_path):
    log.append([catalogue_message(Placement(name="home", unit="context.user"))])
    draws, messages = random.Random(2), []
    for number in range(600):
        [index] = draws.choices(range(len(PMF)), PMF)
        event = interaction(number, ACTIONS, index, 0.0, pmf=PMF, at_ms=10, status="closed")
        context = msgspec.Raw(msgspec.json.encode({"user": number % 50}))
        decision = msgspec.structs.replace(event.decision, context=context)
        messages.append(message(msgspec.structs.replace(event, decision=decision)))
    log.append(messages)
    for _ in range(2):  # the second time from the checkpoint
        assert judged(log, tmp_path / "checkpoints")[0].canary.n == 50
