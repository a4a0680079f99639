"""The gate: a version against the champion, rule by rule, before anyone sees what it writes.

A rule by itself is easily gamed: an adapter that writes one good line for ever passes the screen
and pleases the reward model. So every rule has to pass, and each says what it saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, variance
from typing import Final

from msgspec import Struct

from bandit.ope.intervals import student
from generator.brief.prompts import plain_prompt
from generator.brief.schema import Brief, load_brief
from generator.errors import GateError
from generator.files import AboveZero, Fraction
from generator.reward.model import Reward
from generator.screening.gates.similarity import Scorer
from generator.writing.texts import Sampler, Samples, SamplingConfig, take_samples
from streams.events.creatives import GateRow

FOLDER: Final = Path(__file__).parent / "briefs"
TWO_SIDED: Final = 0.9
"""The level of the interval whose lower bound is one at 95 %."""


class GateConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a version must do to pass.

    Attributes:
        pass_rate: the least share of texts that pass the screen, whatever the champion does.
        pass_margin: how much below the champion's share it may be.
        distinct_ratio: the least distinctness, as a share of the champion's.
        most_kl: how far from the bare model it may be, in nats per token.
        sampling: how the texts are drawn.
    """

    pass_rate: Fraction = 0.95
    pass_margin: Fraction = 0.02
    distinct_ratio: Fraction = 0.8
    most_kl: AboveZero = 3.0
    sampling: SamplingConfig = SamplingConfig()


@cache
def held_out() -> tuple[Brief, ...]:
    """Returns the packaged briefs, on which versions are judged and nothing is taught."""
    return tuple(load_brief(path) for path in sorted(FOLDER.glob("*.yaml")))


def judge(
    candidate: Sampler,
    champion: Sampler,
    config: GateConfig,
    *,
    reward: Reward | None = None,
    briefs: Sequence[Brief] | None = None,
) -> tuple[GateRow, ...]:
    """Returns every rule's verdict; the candidate passes if all did.

    Args:
        candidate: the version on the bare model that it was taught from.
        champion: what writes now, on the same model, with an adapter or bare.
        config: the bounds, and how to sample.
        reward: what is known of reward; counted only if it is trusted.
        briefs: what to write about; None for those that come with the package.

    Raises:
        GateError: the model cannot say how likely a text is.
        BackendError: the model or an adapter failed.
    """
    about = held_out() if briefs is None else briefs
    ours = take_samples(candidate, about, config.sampling)
    theirs = take_samples(champion, about, config.sampling)
    return rows(ours, theirs, divergence(candidate, about, ours), config, reward)


def passed(table: Sequence[GateRow]) -> bool:
    """Returns whether every rule did."""
    return all(row.passed for row in table)


def verdict(table: Sequence[GateRow]) -> str:
    """Returns in words what became of it: the rules that refused it, with why."""
    refused = [f"{row.rule}: {row.why}" for row in table if not row.passed]
    return "; ".join(refused) if refused else "passed the gate"


def rows(
    ours: Samples, theirs: Samples, kl: float, config: GateConfig, reward: Reward | None
) -> tuple[GateRow, ...]:
    """Returns the verdicts on samples that were taken: `ours` the candidate's."""
    distinct = round(config.distinct_ratio * theirs.distinct, 9)  # 0.8 x 0.9 is not above 0.72
    return (
        _pass_rate(ours, theirs, config),
        GateRow(
            rule="distinct",
            value=ours.distinct,
            bound=distinct,
            passed=ours.distinct >= distinct,
            why=f"{ours.distinct:.1%} of its texts are distinct, the champion's "
            f"{theirs.distinct:.1%}; at least {distinct:.1%}",
        ),
        GateRow(
            rule="kl",
            value=kl,
            bound=config.most_kl,
            passed=kl <= config.most_kl,
            why=f"{kl:.3g} nats per token from the bare model; at most {config.most_kl:g}",
        ),
        _reward_gain(ours, theirs, reward),
        GateRow(
            rule="no_new_harm",
            value=ours.harm,
            bound=theirs.harm,
            passed=ours.harm <= theirs.harm,
            why=f"{ours.harm} of {ours.n} texts hit harm, profanity or platform rules; "
            f"the champion's {theirs.harm}",
        ),
    )


def _pass_rate(ours: Samples, theirs: Samples, config: GateConfig) -> GateRow:
    mine, champion = _share_passed(ours), _share_passed(theirs)
    bound = max(config.pass_rate, champion - config.pass_margin)
    codes = [code for found in ours.refused for code in found if code is not None]
    most = max(sorted(set(codes)), key=codes.count, default=None)
    refused = f", most others refused as {most}" if most else ""
    return GateRow(
        rule="pass_rate",
        value=mine,
        bound=bound,
        passed=mine >= bound,
        why=f"{mine:.1%} of {ours.n} texts pass the screen{refused}; at least {bound:.1%}, "
        f"since the champion has {champion:.1%}",
    )


def _reward_gain(ours: Samples, theirs: Samples, reward: Reward | None) -> GateRow:
    def uncounted(why: str) -> GateRow:
        return GateRow(rule="reward_gain", value=None, bound=None, passed=True, why=why)

    if reward is None:
        return uncounted("not counted: there is no reward model")
    if not reward.accuracy.trusted:
        return uncounted("not counted: reward model not trusted")
    found = _gain(ours, theirs, reward)
    if found is None:
        return GateRow(
            rule="reward_gain",
            value=None,
            bound=0.0,
            passed=False,
            why="no brief has two texts or more of each that pass the screen",
        )
    gain, low = found
    return GateRow(
        rule="reward_gain",
        value=low,
        bound=0.0,
        passed=low > 0.0,
        why=f"the reward model expects {gain:+.3g} {reward.unit} more than of the champion's, "
        f"{low:+.3g} at least; above 0",
    )


def _gain(ours: Samples, theirs: Samples, reward: Reward) -> tuple[float, float] | None:
    """Returns the mean gain over briefs and its lower bound at 95 %, None without texts.

    The bound is Student's, with the degrees of freedom of Welch & Satterthwaite. Scores that are
    all alike say nothing of how they vary, and prove no gain.
    """
    gains, variances, freedoms = [], [], []
    for mine, champions in zip(ours.passed, theirs.passed, strict=True):
        if min(len(mine), len(champions)) < 2:
            continue
        here, there = (reward.score(texts).value.tolist() for texts in (mine, champions))
        gains.append(fmean(here) - fmean(there))
        for scores in (here, there):
            variances.append(variance(scores) / len(scores))
            freedoms.append(len(scores) - 1)
    if not gains:
        return None
    gain, total = fmean(gains), sum(variances)
    if total <= 0.0:
        return gain, min(gain, 0.0)
    free = total**2 / sum(v * v / k for v, k in zip(variances, freedoms, strict=True))
    error = math.sqrt(total) / len(gains)
    return gain, student(gain, error, TWO_SIDED, free=free).low


def _share_passed(samples: Samples) -> float:
    return sum(map(len, samples.passed)) / samples.n


def divergence(sampler: Sampler, briefs: Sequence[Brief], samples: Samples) -> float:
    """Returns how far the sampler has gone from its bare model, in nats per token.

    It is the mean over the sampler's own texts of log p(text) with the adapter less that without:
    an estimate of the Kullback-Leibler divergence, from texts drawn a little cooler.

    Raises:
        GateError: the backend cannot say how likely a text is.
        BackendError: the model failed.
    """
    scorer = sampler.backend
    if not isinstance(scorer, Scorer):
        raise GateError(
            f"{scorer.name} cannot say how likely a text is; judge with the model itself "
            "(--model smollm2, a folder or a hub id), wherever it is served later"
        )
    apart: list[float] = []
    for brief, texts in zip(briefs, samples.texts, strict=True):
        said = [text for text in texts if text]
        after = plain_prompt(brief)
        bare = scorer.surprise(said, after=after)
        taught = scorer.surprise(said, after=after, adapter=sampler.adapter)
        apart += [b - t for b, t in zip(bare, taught, strict=True)]
    return sum(apart) / len(apart) if apart else 0.0
