"""Does exploring a latent space of winners find headlines that the reward model passes over?

The world of `bench_generator_loop`: SmolLM2's base writes, people with a hidden taste click. A
small variational autoencoder (Kingma & Welling 2014) learns the embeddings of what won, each as
sure as traffic is; drawn around a winner and decoded, a point stands for the nearest of the texts
that the base wrote for a product nobody wrote for before. All choices take 8 of the same 128 texts
of a product, less what the screen refused, so what was written costs all the same.

The baseline is the reward model's choice. Beside it: chance, the autoencoder's choice, the
nearest texts to winners without an autoencoder, and half of the reward model's choice with half of
the autoencoder's, or, to tell whether that is more than variety, with half of chance's. What counts
is the true click rate of the 8, of the best of them, and of what a placement's policy showed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pytest

from bandit.policies import open_policy
from bandit.policy import sample
from benchmarks.bench_generator_loop import DIVERSITY, READER, base_run, written
from benchmarks.generator_loop import (
    POLICY,
    REFRESH,
    THRESHOLDS,
    Product,
    play,
    products,
    reward_model,
)
from benchmarks.latent import (
    Autoencoder,
    Pool,
    Won,
    closeness,
    decoded,
    drawn_winners,
    nearest,
    open_remembering,
    pool_of,
    taught,
    variance_told,
    winners,
)
from benchmarks.taste import HiddenTaste
from generator.models.opening import ADAPTER, open_backend
from generator.reward.encoders import TextEncoder
from generator.reward.model import TextRewardModel
from generator.reward.ranking import rank
from generator.reward.regression import Floats
from generator.settings import CACHE
from generator.writing.texts import Sampler, Samples, SamplingConfig, take_samples
from streams.events import Action, Decision

SEEDS: Final = (1, 2, 3)
WRITTEN: Final = 128
PICKED: Final = 8
DRAWS: Final = 20
"""How often a choice that is drawn is drawn, for the click rates of its texts."""
SHOWN_DRAWS: Final = 4
"""How many of them are shown to people, for what is earned; that takes longer."""
VISITS: Final = 4_000
"""How many people meet each of those, through the policy of a placement."""
CAME: Final = ("rate", "best", "earned", "closeness")
RESAMPLES: Final = 2000


class Tried(NamedTuple):
    """What came of a taste: of each choice, (n_products, 4), and the variance that is told."""

    came: dict[str, Floats]
    told: float


class World(NamedTuple):
    """Products that meet traffic, products that nobody wrote for, and what the base wrote."""

    reader: TextEncoder
    played: list[Product]
    shown: Samples
    reported: list[Product]
    unseen: Samples


@pytest.fixture(scope="module")
def world() -> World:
    adapter = base_run() / ADAPTER
    backend = open_backend("smollm2")
    asked, reported = products("played"), products("reported")
    briefs = [product.brief for product in reported]
    writer = Sampler(backend, str(adapter))
    pool = take_samples(writer, briefs, SamplingConfig(samples=WRITTEN), THRESHOLDS)
    shown = written(backend, asked, adapter)
    return World(open_remembering(READER, CACHE), asked, shown, reported, pool)


@pytest.mark.benchmark(timer=time.process_time)
def test_latent(benchmark: Any, world: World) -> None:
    """Three tastes, eight products each; CPU time is of all choices and what they earn."""
    tried = benchmark.pedantic(lambda: [one_taste(world, seed) for seed in SEEDS], rounds=1)
    found = {name: np.array([each.came[name] for each in tried]) for name in tried[0].came}
    told = [each.told for each in tried]
    benchmark.extra_info.update(figures(found) | {"variance_told_by_taste": told})


def one_taste(world: World, seed: int) -> Tried:
    """Returns what the choices came to among people of one taste."""
    asked, every = world.played + world.reported, world.shown.texts + world.unseen.texts
    usual = {product.name: found for product, found in zip(asked, every, strict=True)}
    game = play(world.played, world.shown, HiddenTaste(seed, usual), seed=seed)
    model = reward_model(game.evidence, world.reader)
    won = winners(game.evidence, world.reader)
    space = taught(won, seed=seed)
    came: dict[str, list[tuple[float, ...]]] = {}
    told = []
    written_for = zip(world.reported, world.unseen.passed, strict=True)
    for number, (product, texts) in enumerate(written_for):
        pool = pool_of(product.name, texts, won, world.reader, game.taste)
        told.append(variance_told(space, pool.x))
        rng = np.random.default_rng((seed, number))
        for name, choose in choices(pool, world.reader, model, won, space).items():
            drawn = [choose(rng) for _ in range(DRAWS)]
            cell = came_of(pool, drawn, seed=1000 * seed + number)
            came.setdefault(name, []).append(cell)
    return Tried({name: np.array(cells) for name, cells in came.items()}, float(np.mean(told)))


def came_of(pool: Pool, drawn: Sequence[list[int]], *, seed: int) -> tuple[float, ...]:
    """Returns means over draws of a choice, as `CAME` names them."""
    return (
        float(np.mean([pool.rates[places].mean() for places in drawn])),
        float(np.mean([pool.rates[places].max() for places in drawn])),
        float(np.mean([earned(pool.rates[p], seed=seed) for p in drawn[:SHOWN_DRAWS]])),
        float(np.mean([closeness(pool.x[places]) for places in drawn])),
    )


def choices(
    pool: Pool, encoder: TextEncoder, model: TextRewardModel, won: Won, space: Autoencoder
) -> dict[str, Callable[[np.random.Generator], list[int]]]:
    """Returns the ways to choose, each from a source of chance to places in the pool."""
    best = rank(pool.texts, encoder=encoder, model=model, k=PICKED, diversity=DIVERSITY)

    def chance(rng: np.random.Generator) -> list[int]:
        return [int(place) for place in rng.permutation(len(pool.texts))[:PICKED]]

    def explored(rng: np.random.Generator) -> list[int]:
        return nearest(pool, decoded(space, won, rng, PICKED))

    def beside_winners(rng: np.random.Generator) -> list[int]:
        return nearest(pool, won.x[drawn_winners(won, rng, PICKED)])

    def half(
        other: Callable[[np.random.Generator], list[int]],
    ) -> Callable[[np.random.Generator], list[int]]:
        kept = best[: PICKED // 2]
        return lambda rng: [*kept, *(k for k in other(rng) if k not in kept)][:PICKED]

    return {
        "chance": chance,
        "reward": lambda _: best,
        "latent": explored,
        "beside_winners": beside_winners,
        "reward_and_latent": half(explored),
        "reward_and_chance": half(chance),
    }


def earned(rates: Floats, *, seed: int) -> float:
    """Returns the click rate of what a placement's policy shows while it learns."""
    policy = open_policy(POLICY)
    rng = np.random.default_rng(seed)
    actions = tuple(Action(f"{k}") for k in range(len(rates)))
    context, pmf, total = msgspec.Raw(b"{}"), (), 0.0
    for number in range(VISITS):
        if number % REFRESH == 0:
            asked = policy.pmf(context, actions)
            pmf = tuple((asked / asked.sum()).tolist())
        event_id = f"{seed}-{number}"
        index = sample(pmf, event_id)
        decision = Decision(
            event_id=event_id,
            placement="latent",
            timestamp_ms=number,
            context=context,
            actions=actions,
            pmf=pmf,
            index=index,
            policy_version="simulated@0",
        )
        total += float(rates[index])
        policy.learn(decision, float(rng.random() < rates[index]))
    return total / VISITS


def figures(found: dict[str, Floats]) -> dict[str, Any]:
    """Returns each choice's means and what it is against the reward model's, by 95 % intervals.

    Args:
        found: by choice, shape (n_seeds, n_products, 4); resampled are whole products.
    """
    told: dict[str, Any] = {}
    rng = np.random.default_rng(0)
    n_products = found["reward"].shape[1]
    again = rng.integers(0, n_products, (RESAMPLES, n_products))
    for name, cells in found.items():
        means = cells.mean(axis=(0, 1))
        for k, what in enumerate(CAME):
            told[f"{name}_{what}"] = float(means[k])
        told[f"{name}_earned_by_taste"] = cells[..., 2].mean(axis=1).tolist()
        for k, what in enumerate(CAME[:3]):
            ratio = cells[..., k][:, again].mean(axis=(0, 2))
            ratio /= found["reward"][..., k][:, again].mean(axis=(0, 2))
            told[f"{name}_{what}_ratio"] = np.quantile(ratio, [0.025, 0.5, 0.975]).tolist()
    return told
