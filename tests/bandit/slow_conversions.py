"""A placement whose best creative converts late, run through the real join and the real learner.

Everything happens in memory and in the log's own time: decisions and conversions go into
the join in their order, its interactions go into the placement's fold, and the next decision is
made by the policy that results.
"""

import math
import random
from heapq import heappop, heappush
from typing import NamedTuple

import msgspec
import numpy as np

from bandit.abtests.prior import fit_delay
from bandit.learning.fold import PlacementFold
from bandit.policy import sample
from streams.catalogue.state import Catalogue
from streams.events import (
    EMPTY,
    Action,
    Interaction,
    Outcome,
    Placement,
    RewardKind,
    RewardRule,
    decode,
)
from streams.events import encode as to_json
from streams.join.machine import Join
from tests.bandit.decisions import a_decision

START_MS = 1_700_000_000_000
EVERY_MS = 30_000
HOUR = 3600.0


class Converts(NamedTuple):
    """How often a creative converts, and the median of how long that takes."""

    rate: float
    median_seconds: float


CREATIVES = {
    "quick": Converts(0.050, 120.0),
    "plain": Converts(0.045, 900.0),
    "dull": Converts(0.030, 60.0),
    "slow": Converts(0.085, 6 * HOUR),
}
BEST = "slow"
ACTIONS = tuple(map(Action, CREATIVES))

LEARNS = {
    "window": ("window", 48 * HOUR),
    "realtime": ("realtime", 48 * HOUR),
    "delay model": ("realtime", 48 * HOUR),
    # What comes within ten minutes of the decision counts, as it does for clicks.
    "on click": ("window", 600.0),
}
"""How a placement learns, and how long it waits; the last is the mistake to be shown.

With the delay model, by which showings count as far as their conversions have had time to come,
the policy is the default one.
"""

CURVE_DRAWS = 2000


def placement(how):
    learn, window_seconds = LEARNS[how]
    rule = RewardRule(
        kinds={"conversion": RewardKind(aggregation="max")}, window_seconds=window_seconds
    )
    policy = {"name": "thompson", "alpha": 1, "beta": 20}
    if how == "delay model":
        policy = {"name": "text_thompson", "mean": 0.05, "delay": curve(window_seconds)}
    return Placement(name="home", policy=policy, reward=rule, learn=learn)


def curve(window_seconds):
    """Twenty quantiles of the delays within the window, of conversions of an even log.

    It is fitted as `copyloop fit-delay` does, on visits before those that are played.
    """
    rng, made = random.Random(0), []
    for number in range(CURVE_DRAWS):
        decision = decide(number, START_MS, np.full(len(ACTIONS), 1 / len(ACTIONS)))
        outcome = conversion(decision, rng)
        if outcome is None or outcome.timestamp_ms > START_MS + window_seconds * 1000:
            continue
        made.append(
            Interaction(
                source=0, sequence=number, decision=decision, reward=1.0, status="corrected",
                timestamp_ms=outcome.timestamp_ms, previous_reward=0.0, outcomes=(outcome,),
            )
        )  # fmt: skip
    newest = msgspec.structs.replace(
        made[0].decision, event_id="newest", timestamp_ms=START_MS + int(window_seconds * 1000)
    )
    after = msgspec.structs.replace(made[0], decision=newest, reward=0.0, outcomes=())
    return fit_delay([*made, after])


def run(how, n_decisions, *, seed):
    """Returns the pmf on the best creative at each decision."""
    home, rng = placement(how), random.Random(seed)
    catalogue = Catalogue()
    catalogue.apply(home, 0)
    join, fold = Join(0, catalogue), PlacementFold(home.policy)
    coming, found = [], []
    for number in range(n_decisions):
        now_ms = START_MS + number * EVERY_MS
        while coming and coming[0][0] <= now_ms:
            at_ms, _, outcome = heappop(coming)
            join.observe(outcome, at_ms, number)
        pmf = learned(join, fold, now_ms).policy.pmf(EMPTY, ACTIONS)
        found.append(float(pmf[list(CREATIVES).index(BEST)]))
        made = decide(number, now_ms, pmf)
        join.decide(made, to_json(made), now_ms, number)
        outcome = conversion(made, rng)
        if outcome is not None:
            heappush(coming, (outcome.timestamp_ms, number, outcome))
    return found


def learned(join, fold, now_ms):
    """The fold once it has taken in what the join says up to now."""
    join.tick(now_ms)
    for emitted in join.take()[0]:
        interaction = decode(msgspec.json.encode(emitted.interaction))
        fold.take(interaction, interaction.sequence)
    return fold


def decide(number, now_ms, pmf):
    event_id = f"visit-{number}"
    return a_decision(event_id, ACTIONS, pmf, sample(pmf, event_id), at_ms=now_ms)


def conversion(decision, rng):
    """The conversion that will come of the decision, if one does; Weibull of shape 0.6."""
    rate, median_seconds = CREATIVES[decision.action.id]
    uniform, converts = rng.random(), rng.random() < rate
    if not converts:
        return None
    seconds = median_seconds * (-math.log1p(-uniform) / math.log(2.0)) ** (1.0 / 0.6)
    return Outcome(
        event_id=decision.event_id,
        outcome_id=f"{decision.event_id}/c",
        kind="conversion",
        timestamp_ms=decision.timestamp_ms + int(1000.0 * seconds),
    )
