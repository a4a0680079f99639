"""A latent space of what won, by a small variational autoencoder, and the way back to texts.

It is an experiment of `bench_latent` and no part of the product. Vectors are taken against the
mean of their product's texts, in units of their spread, so that a point found among one product's
winners says how a text should differ from what is usual for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.taste import HiddenTaste
from generator.data.evidence import Evidence, chance_better
from generator.reward.encoders import TextEncoder, open_encoder
from generator.reward.regression import Floats

LATENT: Final = 8
HIDDEN: Final = 64
STEPS: Final = 60
"""Few, since it learns half a hundred winners by heart: of 60 to 1,500 steps, 8 and 16 numbers, and
all texts in place of winners, what chose best for the products `chosen` and other tastes."""


class Remembering:
    """Reads every text once, since the same ones are asked about again and again."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._read: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns the vectors, shape (n_texts, d)."""
        new = [text for text in dict.fromkeys(texts) if text not in self._read]
        if new:
            vectors = self._encoder(new)[0].astype(np.float32)
            self._read.update(zip(new, vectors, strict=True))
        return np.array([self._read[text] for text in texts], dtype=np.float32)


def open_remembering(name: str, cache: Path) -> TextEncoder:
    """Returns the encoder of this name, which reads no text twice."""
    return TextEncoder(name, [Remembering(open_encoder(part, cache)) for part in name.split("+")])


class Won(NamedTuple):
    """Winners' vectors against the mean of their product's texts, (n, d), and weights, (n,)."""

    x: Floats
    weight: Floats
    scale: Floats


class Pool(NamedTuple):
    """A product's texts, their vectors as winners have them, and the true click rate of each."""

    texts: list[str]
    x: Floats
    rates: Floats


class Autoencoder(nn.Module):
    """Embeddings to a few numbers and back, through one hidden layer each way."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(d, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, d))

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what comes back, (n, d), and each row's divergence from the prior, (n,)."""
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        apart = 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).sum(-1)
        return self.decoder(mean + (0.5 * log_variance).exp() * noise), apart


def winners(evidence: Sequence[Evidence], encoder: TextEncoder) -> Won:
    """Returns the texts that earned more than their company, by how surely they did."""
    vectors, _ = encoder([each.creative.parts["headline"] for each in evidence])
    placements = np.array([each.creative.placement for each in evidence])
    for name in set(placements.tolist()):
        vectors[placements == name] -= vectors[placements == name].mean(axis=0)
    weight = np.array([2.0 * chance_better(each, company(each)) - 1.0 for each in evidence])
    scale = np.sqrt((vectors**2).mean(axis=0)) + 1e-9
    return Won(vectors[weight > 0.0] / scale, weight[weight > 0.0], scale)


def company(evidence: Evidence) -> Evidence:
    """Returns a text that earns just what its placement does, seen as often as one can be."""
    winner = evidence.winner._replace(estimate=evidence.level, effective_n=1e6)
    return evidence._replace(winner=winner)


def taught(won: Won, *, seed: int) -> Autoencoder:
    """Returns an autoencoder of the winners.

    The variance of what comes back is the best one for the error at hand (Rybkin et al. 2021,
    equation 6), which spares a weight between the two parts of the loss.
    """
    torch.manual_seed(seed)
    space = Autoencoder(won.x.shape[1])
    x, weight = torch.tensor(won.x).float(), torch.tensor(won.weight / won.weight.sum()).float()
    optimiser = torch.optim.AdamW(space.parameters(), lr=3e-3, weight_decay=1e-2)
    for _ in range(STEPS):
        back, apart = space(x, torch.randn(len(x), LATENT))
        error = weight @ ((back - x) ** 2).mean(-1)
        loss = 0.5 * x.shape[1] * error.log() + weight @ apart
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return space.eval()


def variance_told(space: Autoencoder, x: Floats) -> float:
    """Returns the share of the vectors' squares that comes back through the space's means."""
    rows = torch.tensor(x).float()
    with torch.inference_mode():
        mean, _ = space.encoder(rows).chunk(2, dim=-1)
        back = space.decoder(mean)
    return 1.0 - float(((back - rows) ** 2).sum() / (rows**2).sum())


def decoded(space: Autoencoder, won: Won, rng: np.random.Generator, n: int) -> Floats:
    """Returns vectors from around winners, (n, d); surer ones are gone to more often."""
    x = torch.tensor(won.x[drawn_winners(won, rng, n)]).float()
    with torch.inference_mode():
        back, _ = space(x, torch.tensor(rng.normal(size=(n, LATENT))).float())
    return np.asarray(back.numpy(), dtype=np.float64)


def drawn_winners(won: Won, rng: np.random.Generator, n: int) -> Any:
    """Returns the rows of winners, drawn by their weights."""
    return rng.choice(len(won.weight), size=n, p=won.weight / won.weight.sum())


def pool_of(
    name: str, passed: Sequence[str], won: Won, encoder: TextEncoder, taste: HiddenTaste
) -> Pool:
    """Returns what was written for a product, but for what comes twice."""
    texts = list(dict.fromkeys(passed))
    vectors, _ = encoder(texts)
    return Pool(texts, (vectors - vectors.mean(axis=0)) / won.scale, taste.rates(name, texts))


def nearest(pool: Pool, wanted: Floats) -> list[int]:
    """Returns for each vector the place of the nearest text by cosine that no other one has."""
    picked: list[int] = []
    for row in unit(wanted) @ unit(pool.x).T:
        row[picked] = -np.inf
        picked.append(int(row.argmax()))
    return picked


def closeness(x: Floats) -> float:
    """Returns the mean cosine between texts; around 0 for any ones of a pool."""
    cosine = unit(x) @ unit(x).T
    return float(cosine[~np.eye(len(x), dtype=bool)].mean())


def unit(x: Floats) -> Floats:
    """Returns rows of length 1."""
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float64)
