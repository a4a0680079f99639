"""Real A/B tests replayed: what a policy would have earned, exactly, without guessing.

Every visitor of a finished test was given an arm at random, so drawing an arm's showings without
replacement is what any policy, however it adapts, would have met: the estimate is unbiased.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bandit.abtests.data import AbTest, WeekRange, draw_clicks, read_ab_tests
from bandit.abtests.report import ReplayReport, make_report
from bandit.errors import ReplayError
from bandit.features.flatten import Embedding, creative_features
from bandit.parallel import fan_out
from bandit.policies import open_policy, parse_policy
from bandit.policy import Policy, sample
from streams.events import EMPTY, Action, Decision, PolicySpec

PLACEMENT: Final = "replay"
POLICY_VERSION: Final = "replay"
"""Hashing a policy's bytes each round would cost more than the round."""
HORIZON: Final = 2000


class Stage(NamedTuple):
    """A test made ready: one action an arm, and how many rounds are played."""

    test: AbTest
    actions: tuple[Action, ...]
    rounds: int


def run_replay(
    path: Path,
    policies: Sequence[str],
    *,
    seeds: int = 1,
    horizon: int = HORIZON,
    columns: Mapping[str, str] | None = None,
    min_headlines: int = 3,
    min_impressions: int = 1000,
    exclude_weeks: WeekRange | None = None,
    embedding: Embedding | None = None,
    processes: int | None = None,
    console: Console | None = None,
) -> ReplayReport:
    """Returns what each policy would have earned on the A/B tests in `path`.

    The tests are played in order of week, and what a policy learned it keeps: one policy, all
    tests. A test lasts `horizon` rounds, or as many as its smallest arm has impressions. The
    same seeds give the same report, however many processes work on it.

    Args:
        path: Parquet or CSV, a row an arm; see `read_ab_tests`.
        policies: as on the command line: `thompson`, `thompson:alpha=1,beta=1`, ...
        seeds: how many times each policy plays all tests, with seeds 0, 1, ...; the results are
            means over them.
        horizon: the most rounds a test lasts.
        columns: of the file; see `read_ab_tests`.
        min_headlines: tests with fewer distinct headlines are left out.
        min_impressions: tests with a headline of fewer impressions are left out.
        exclude_weeks: first and last week (YYYYWW) to leave out; None leaves none out.
        embedding: of the headlines; None is `default_embedding()`.
        processes: how many to use; None is one a core. Above 1 they are spawned, so a script
            must call this under `if __name__ == "__main__"`.
        console: where progress is shown, if it is a terminal.

    Raises:
        ReplayError: the file is no set of A/B tests, no test qualifies, or an argument is off.
        PolicySpecError: a policy or a parameter of it that does not exist.
        EmbeddingError: the embedding is not installed.
    """
    for name, value in (("policies", len(policies)), ("seeds", seeds), ("horizon", horizon)):
        if value < 1:
            raise ReplayError(f"{name}: {value} given; expected at least 1")
    specs = [parse_policy(text) for text in policies]
    for spec in specs:
        open_policy(spec)
    tests = read_ab_tests(
        path,
        columns=columns,
        min_headlines=min_headlines,
        min_impressions=min_impressions,
        exclude_weeks=exclude_weeks,
    )
    if not any(arm.clicks for test in tests for arm in test.arms):
        raise ReplayError(f"the {len(tests)} tests in {path} hold no click; nothing to compare")
    stages = [make_stage(test, horizon, embedding) for test in tests]
    jobs = [partial(play_new, stages, spec, seed=s) for spec in specs for s in range(seeds)]
    clicks = _play_all(jobs, len(stages), processes or os.cpu_count() or 1, console)
    rounds = np.array([stage.rounds for stage in stages])
    return make_report(
        policies,
        clicks=clicks.reshape(len(policies), seeds, len(stages)),
        rounds=rounds,
        uniform=rounds * np.array([test.uniform_ctr for test in tests]),
        best=rounds * np.array([test.best_ctr for test in tests]),
    )


def make_stage(test: AbTest, horizon: int, embedding: Embedding | None = None) -> Stage:
    """Returns the test with its headlines as actions, and the rounds it lasts."""
    actions = tuple(
        Action(f"{test.id}/{number}", creative_features({"headline": arm.headline}, embedding))
        for number, arm in enumerate(test.arms)
    )
    return Stage(test, actions, test.rounds(horizon))


def play_new(stages: Sequence[Stage], spec: PolicySpec, *, seed: int) -> Iterator[int]:
    """Yields what `play` does, for a policy that has learned nothing yet."""
    return play(stages, open_policy(spec), seed=seed)


def play(stages: Sequence[Stage], policy: Policy, *, seed: int) -> Iterator[int]:
    """Yields the clicks that `policy` earned in each test, having learned from all before.

    The showings of an arm come in an order that depends on the seed and the test alone, so
    policies that are played with one seed meet the same visitors.
    """
    for number, stage in enumerate(stages):
        rng = np.random.default_rng([seed, number])
        yield _play_test(stage, policy, f"{seed}/{stage.test.id}", rng)


def _play_test(stage: Stage, policy: Policy, name: str, rng: np.random.Generator) -> int:
    showings = [iter(clicked) for clicked in draw_clicks(stage.test, stage.rounds, rng)]
    actions = stage.actions
    clicks = 0
    for number in range(stage.rounds):
        event_id = f"{name}/{number}"
        pmf = policy.pmf(EMPTY, actions)
        index = sample(pmf, event_id)
        clicked = next(showings[index])
        decision = Decision(
            event_id=event_id,
            placement=PLACEMENT,
            timestamp_ms=number,
            context=EMPTY,
            actions=actions,
            pmf=tuple(pmf.tolist()),
            index=index,
            policy_version=POLICY_VERSION,
        )
        policy.learn(decision, float(clicked))
        clicks += clicked
    return clicks


def _play_all(
    jobs: Sequence[Callable[[], Iterator[int]]],
    n_tests: int,
    processes: int,
    console: Console | None,
) -> NDArray[np.float64]:
    """Returns the clicks of every job in every test, shape (n_jobs, n_tests)."""
    clicks: list[list[int]] = [[] for _ in jobs]
    columns = (TextColumn("replaying"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    shown = console is not None and console.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not shown) as progress:
        task = progress.add_task("", total=len(jobs) * n_tests)
        for job, in_test in fan_out(jobs, processes):
            clicks[job].append(in_test)
            progress.advance(task)
    return np.array(clicks, dtype=np.float64)
