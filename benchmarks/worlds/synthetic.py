"""Worlds made up from a seed: each asks for one thing that a placement may ask for."""

from __future__ import annotations

import numpy as np

from benchmarks.worlds.game import (
    ROUND_MS,
    Floats,
    Game,
    always,
    nothing_known,
    one_hot,
    plain_actions,
    raw,
    rotating,
    text_actions,
    unit_codes,
)


def fixed_rates(seed: int, rates: Floats, n: int, *, texts: bool = False) -> Game:
    """Rates that never change, dealt to the creatives by chance."""
    rng = np.random.default_rng([seed, 1])
    dealt = rng.permutation(rates)
    # Texts that say nothing about the rates.
    actions = text_actions(unit_codes(rng, len(dealt))) if texts else plain_actions(len(dealt))
    contexts, covariates = nothing_known(n)
    means = np.broadcast_to(dealt, (n, len(dealt)))
    return Game(contexts, covariates, always(actions), means, rng.random(n))


def two_close(seed: int) -> Game:
    """Two creatives, 5 % and 6 %."""
    return fixed_rates(seed, np.array([0.05, 0.06]), 8000)


def misleading_texts(seed: int) -> Game:
    """Six headlines of 2 to 8 %, dealt to texts by chance."""
    return fixed_rates(seed, np.linspace(0.02, 0.08, 6), 10_000, texts=True)


def one_good(seed: int) -> Game:
    """One creative of 9 % among nine of 5 %."""
    return fixed_rates(seed, np.array([0.09] + [0.05] * 9), 20_000)


def rare(seed: int) -> Game:
    """One creative of 1.8 % among five of 1 %."""
    return fixed_rates(seed, np.array([0.018] + [0.01] * 5), 30_000, texts=True)


def crowd(seed: int, n_creatives: int = 200, n: int = 20_000) -> Game:
    """Hundreds of creatives whose rates spread widely around 3 %."""
    rng = np.random.default_rng([seed, 2])
    return fixed_rates(seed, rng.beta(1.5, 48.5, n_creatives), n, texts=True)


def thousand(seed: int) -> Game:
    """A thousand creatives, rates around 5 %."""
    return crowd(seed, 1000, 12_000)


def telling_texts(seed: int) -> Game:
    """A new set of twelve texts every 1,500 visits, whose embedding tells half of their rate."""
    rng = np.random.default_rng([seed, 3])
    n, live, every = 15_000, 12, 1500
    codes = unit_codes(rng, live * (n // every))
    taste = rng.standard_normal(codes.shape[1])
    log_rate = 0.45 * (codes @ taste) + 0.45 * rng.standard_normal(len(codes))
    rates = np.minimum(0.04 * np.exp(log_rate), 0.5)
    contexts, covariates = nothing_known(n)
    epochs = rotating(text_actions(codes), live, live, every, n)
    means = np.broadcast_to(rates, (n, len(rates)))
    return Game(contexts, covariates, tuple(epochs), means, rng.random(n))


def market(seed: int, n: int = 10_000, scale: float = 1.0) -> Game:
    """Five segments that each have a taste of their own; ten creatives around 4 %."""
    rng = np.random.default_rng([seed, 4])
    n_segments, n_creatives = 5, 10
    segment = rng.integers(n_segments, size=n)
    hour = rng.integers(24, size=n)
    taste = rng.normal(0.0, 0.8, (n_segments, n_creatives)) + rng.normal(0.0, 0.3, n_creatives)
    rates = np.minimum(0.03 * scale * np.exp(taste), 0.4)
    contexts = [
        raw({"user": {"segment": f"s{s}"}, "hour": h})
        for s, h in zip(segment.tolist(), hour.tolist(), strict=True)
    ]
    angle = hour * (2.0 * np.pi / 24.0)
    covariates = np.column_stack([one_hot(segment, n_segments), np.cos(angle), np.sin(angle)])
    actions = text_actions(unit_codes(rng, n_creatives))
    return Game(contexts, covariates, always(actions), rates[segment], rng.random(n))


def many_fields(seed: int) -> Game:
    """Ten fields of which three matter, by numbers as well; twelve creatives around 3 %."""
    rng = np.random.default_rng([seed, 5])
    n, n_creatives = 20_000, 12
    names = [("a", 2), ("b", 3), ("c", 4), ("d", 5), ("e", 3), ("f", 2)]
    fields = [(name, rng.integers(size, size=n), size) for name, size in names]
    numbers = rng.random((n, 4))
    columns = [one_hot(values, size) for _, values, size in fields]
    x = np.column_stack([*columns, numbers - 0.5])
    effect = np.zeros((x.shape[1], n_creatives))
    effect[2:5] = rng.normal(0.0, 0.6, (3, n_creatives))
    effect[9:14] = rng.normal(0.0, 0.6, (5, n_creatives))
    effect[19] = rng.normal(0.0, 1.2, n_creatives)
    rates = np.minimum(0.025 * np.exp(x @ effect), 0.5)
    contexts = [
        raw(
            {name: f"{name}{values[t]}" for name, values, _ in fields}
            | {"score": {f"n{j}": round(float(numbers[t, j]), 3) for j in range(4)}}
        )
        for t in range(n)
    ]
    actions = plain_actions(n_creatives)
    return Game(contexts, x, always(actions), rates, rng.random(n))


def useless_context(seed: int) -> Game:
    """Contexts of eight fields that change nothing but the level; eight creatives of 2 to 5 %."""
    rng = np.random.default_rng([seed, 6])
    n, n_creatives = 15_000, 8
    values = rng.integers(4, size=(n, 8))
    common = np.exp(0.5 * (values[:, 0] - 1.5) / 1.5)
    rates = rng.permutation(np.linspace(0.02, 0.05, n_creatives))
    contexts = [raw({f"f{j}": f"v{v}" for j, v in enumerate(row)}) for row in values.tolist()]
    x = np.column_stack([one_hot(values[:, j], 4) for j in range(8)])
    return Game(
        contexts, x, always(plain_actions(n_creatives)), np.outer(common, rates), rng.random(n)
    )


def drift(seed: int) -> Game:
    """Eight creatives whose rates wander between 2 and 8 %; the best one changes."""
    rng = np.random.default_rng([seed, 7])
    n, n_creatives = 24_000, 8
    turns, start = rng.uniform(1.0, 2.5, n_creatives), rng.uniform(0.0, 1.0, n_creatives)
    share = np.linspace(0.0, 1.0, n)[:, None] * turns + start
    rates = 0.04 * np.exp(0.6 * np.sin(2.0 * np.pi * share))
    contexts, covariates = nothing_known(n)
    return Game(contexts, covariates, always(plain_actions(n_creatives)), rates, rng.random(n))


def sudden(seed: int) -> Game:
    """Six creatives; in the middle the rates are dealt anew."""
    rng = np.random.default_rng([seed, 8])
    n, rates = 20_000, np.array([0.03, 0.03, 0.04, 0.05, 0.06, 0.08])
    means = np.empty((n, len(rates)))
    means[: n // 2], means[n // 2 :] = rng.permutation(rates), rng.permutation(rates)
    contexts, covariates = nothing_known(n)
    return Game(contexts, covariates, always(plain_actions(len(rates))), means, rng.random(n))


def day_and_delay(seed: int) -> Game:
    """Conversions an hour late, a level that triples by day, and creatives that come and go."""
    rng = np.random.default_rng([seed, 9])
    n, live = 16_000, 8
    times = np.arange(n) * ROUND_MS
    hour = times // 3_600_000 % 24
    level = 0.03 * np.exp(0.6 * np.sin(2.0 * np.pi * hour / 24.0))
    epochs = rotating(plain_actions(live + 2 * (n // 2000)), live, 2, 2000, n)
    appeal = np.exp(rng.normal(0.0, 0.45, live + 2 * (n // 2000)))
    contexts = [raw({"hour": h, "device": ("phone", "desk")[h % 2]}) for h in hour.tolist()]
    angle = 2.0 * np.pi * hour / 24.0
    return Game(
        contexts,
        np.column_stack([np.cos(angle), np.sin(angle)]),
        tuple(epochs),
        np.minimum(np.outer(level, appeal), 0.5),
        rng.random(n),
        delay=rng.exponential(120.0, n).astype(np.int64),
        times_ms=times,
    )


def churn(seed: int) -> Game:
    """Segments with tastes for topics that the texts show, and creatives that live for days."""
    rng = np.random.default_rng([seed, 10])
    n, live, topics = 16_000, 16, 4
    total = live + 4 * (n // 1600)
    shown = rng.standard_normal((topics, 32)) / 2.0
    about = rng.standard_normal((total, topics)) / np.sqrt(topics)
    codes = about @ shown + 0.1 * rng.standard_normal((total, 32))
    segment, device = rng.integers(4, size=n), rng.integers(2, size=n)
    tastes = 1.0 * rng.standard_normal((4, topics))
    liking = tastes[segment] @ about.T + 0.3 * rng.standard_normal(total)
    contexts = [
        raw({"user": {"segment": f"s{s}"}, "device": ("phone", "desk")[d]})
        for s, d in zip(segment.tolist(), device.tolist(), strict=True)
    ]
    epochs = rotating(text_actions(codes), live, 4, 1600, n)
    x = np.column_stack([one_hot(segment, 4), one_hot(device, 2)])
    means = np.minimum(0.04 * np.exp(2.0 * np.tanh(0.5 * liking)), 0.6)
    return Game(contexts, x, tuple(epochs), means, rng.random(n))


def turning_tastes(seed: int) -> Game:
    """A market of four segments whose tastes turn by half a circle."""
    rng = np.random.default_rng([seed, 11])
    n, n_creatives = 16_000, 8
    segment = rng.integers(4, size=n)
    first, second = rng.normal(0.0, 0.8, (2, 4, n_creatives))
    turned = np.linspace(0.0, np.pi, n)[:, None]
    taste = np.cos(turned) * first[segment] + np.sin(turned) * second[segment]
    contexts = [raw({"segment": f"s{s}"}) for s in segment.tolist()]
    means = np.minimum(0.04 * np.exp(taste), 0.5)
    return Game(
        contexts, one_hot(segment, 4), always(plain_actions(n_creatives)), means, rng.random(n)
    )


def profit(seed: int) -> Game:
    """Rewards that may be losses: six creatives between −2 and 2, noise of 8."""
    rng = np.random.default_rng([seed, 12])
    n = 8000
    means = np.broadcast_to(rng.permutation(np.linspace(-2.0, 2.0, 6)), (n, 6))
    contexts, covariates = nothing_known(n)
    return Game(
        contexts,
        covariates,
        always(plain_actions(6)),
        means,
        rng.standard_normal(n),
        noise=8.0,
        low=-50.0,
        high=50.0,
    )


def large_rewards(seed: int) -> Game:
    """Rewards of about 100, between 0 and 200, that also depend on the segment."""
    rng = np.random.default_rng([seed, 13])
    n, n_creatives = 8000, 8
    segment = rng.integers(3, size=n)
    table = 100.0 + rng.normal(0.0, 6.0, n_creatives) + rng.normal(0.0, 6.0, (3, n_creatives))
    contexts = [raw({"segment": f"s{s}"}) for s in segment.tolist()]
    return Game(
        contexts,
        one_hot(segment, 3),
        always(plain_actions(n_creatives)),
        table[segment],
        rng.standard_normal(n),
        noise=25.0,
        low=0.0,
        high=200.0,
    )


def returning_users(seed: int) -> Game:
    """Two hundred users who come again and again, each with a liking for one kind of creative."""
    rng = np.random.default_rng([seed, 14])
    n, n_creatives, kinds = 16_000, 9, 3
    user = rng.integers(200, size=n)
    kind = rng.integers(kinds, size=200)
    liked = np.arange(n_creatives)[None, :] % kinds == kind[user][:, None]
    own = np.exp(rng.normal(0.0, 0.3, n_creatives))
    means = np.minimum(np.where(liked, 0.07, 0.03) * own, 0.5)
    contexts = [
        raw({"user": {"kind": f"k{kind[u]}", "age": 20 + u % 40, "id": f"u{u}"}})
        for u in user.tolist()
    ]
    x = np.column_stack([one_hot(kind[user], kinds), (user % 40) / 40.0])
    return Game(contexts, x, always(plain_actions(n_creatives)), means, rng.random(n))
