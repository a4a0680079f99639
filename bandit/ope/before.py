"""What has to be known of a log before policies are judged by it: read once, for all of them.

Such are the reward model, how many slots events have, and the largest weight of a uniform log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bandit.ope.candidate import Options
from bandit.ope.estimators import SLATES, WITH_MODEL
from bandit.ope.models import RewardModel, open_model
from bandit.ope.policies import Candidate, open_target
from bandit.ope.readers.events import LoggedEvent

NEARLY: Final = 1e-3
"""By what share propensities that are alike may differ, as people write them."""

Open: TypeAlias = Callable[[], Iterable[LoggedEvent]]


class Before(NamedTuple):
    """What is known before judging: the model, how many slots events have, the largest weight."""

    model: RewardModel | None
    slots: int
    max_weight: float | None


def read_before(log: Open, options: Options, progress: Progress) -> Before:
    """Returns what has to be known beforehand: each only if it is needed.

    The largest weight is known of a log whose every choice was uniform, by its pmfs alone.
    """
    model = None
    if any(name in WITH_MODEL and name != "mrdr" for name in options.estimators):
        model = open_model(options.model)
    slates = any(name in SLATES for name in options.estimators)
    uniform = "betting" in options.estimators and options.max_weight is None
    if model is None and not slates and not uniform:
        return Before(None, 0, options.max_weight)
    task = progress.add_task("reading for the reward model", total=None)
    slots, largest = 0, 0.0
    for number, event in enumerate(log()):
        uniform = uniform and is_uniform(event)
        largest = max(largest, 1.0 / event.decision.propensity)
        slots = max(slots, event.decision.slot + 1)
        if model is not None:
            model.learn(event)
        if number % 1000 == 999:
            progress.advance(task, 1000)
    if model is not None and slots:
        model.fit()
    progress.update(task, visible=False)
    return Before(
        model if slots else None, slots, largest if uniform and slots else options.max_weight
    )


def is_uniform(event: LoggedEvent) -> bool:
    """Returns whether every action was as likely, to the digits that propensities are given in."""
    pmf = event.decision.pmf
    return not event.estimated and max(pmf) - min(pmf) <= NEARLY * max(pmf)


def fit_robust(log: Open, policy: str | Candidate, options: Options) -> RewardModel:
    """Returns the reward model with which DR's variance for this policy is least.

    It is fitted with the weights π (1 - μ) / μ² (Farajtabar, Chow & Ghavamzadeh 2018, equation
    10, as their estimator takes them for stochastic policies).
    """
    model, target = open_model(options.model), open_target(policy, max_weight=options.max_weight)
    for number, event in enumerate(log()):
        if number < options.train:
            target.train(event)
            continue
        propensity, weighed = event.decision.propensity, target.answer(event).target
        # where the log left no choice nothing can vary; a little keeps the model from having none
        weight = weighed * max(1.0 - propensity, 1e-3) / propensity**2
        if weight > 0.0:
            model.learn(event, weight)
    model.fit()
    return model


def show_progress(
    console: Console | None, done: str = "{task.completed:,.0f} decisions"
) -> Progress:
    """Returns a spinner with what is done; nothing is shown where nobody looks."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}: " + done),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=console is None or not console.is_terminal,
    )
