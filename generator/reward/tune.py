"""Fine-tuning a reader of sentences on what was tried, for placements with a long history.

Frozen vectors say what a text is about; tuned ones say what of it people clicked. It takes some
hundred groups. The last of them are not learned from, so that the reward model which is fitted on
the tuned reader can still say how good it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from generator.backends import Progress
from generator.device import pick_device, use_one_thread
from generator.errors import RewardModelError
from generator.reward.contrasts import Ridge, centred_rates
from generator.reward.encoders import SEEN
from generator.reward.examples import Example

FEWEST_GROUPS: Final = 50


class Tuning(NamedTuple):
    """How a reader is tuned; the defaults were chosen on early headline tests of Upworthy's.

    Attributes:
        epochs: how often every group is seen.
        rate: the optimiser's step for the reader; the head on top of it takes three times that.
        groups: how many of them make a batch.
        warm_up: steps until the full rate, from which it falls to 0.
        held_out: the share of groups, the last ones, that are not learned from.
    """

    epochs: int = 4
    rate: float = 2e-5
    groups: int = 8
    warm_up: int = 30
    held_out: float = 0.2


def tune_reader(
    base: str,
    examples: Sequence[Example],
    ridge: Ridge,
    out: Path,
    *,
    tuning: Tuning | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Returns the folder `out` with a tuned copy of the reader, for `sentence:OUT`.

    The loss is that of the ridge: weighted squares of (rate beyond the group's - score beyond the
    group's), so that an arm that was shown little weighs little. AdamW (Loshchilov & Hutter 2019).

    Args:
        base: a model of sentence-transformers, a folder or a hub id.
        examples: in order of time.
        ridge: fitted on the base's vectors: where the head on top of the reader starts.
        out: a folder that is made or replaced.
        tuning: how.
        seed: of the order of the groups, and of dropout.
        progress: is called with the share that is done.

    Raises:
        RewardModelError: fewer than `FEWEST_GROUPS` groups to learn from.
    """
    from sentence_transformers import SentenceTransformer

    tuning = tuning or Tuning()
    groups = [list(members) for _, members in groupby(examples, key=lambda e: e.group)]
    learned = groups[: round(len(groups) * (1.0 - tuning.held_out))]
    if len(learned) < FEWEST_GROUPS:
        raise RewardModelError(
            f"{len(learned)} groups to tune a reader on; expected at least {FEWEST_GROUPS}: take "
            "it as it is until more has been tried"
        )
    use_one_thread()
    torch.manual_seed(seed)
    device = pick_device().name
    model: Any = SentenceTransformer(base, device=device)
    weights = np.where(np.isinf(ridge.scale), 0.0, ridge.weights / ridge.scale)
    head = torch.nn.Parameter(torch.tensor(weights, dtype=torch.float32, device=device))
    rates = [
        {"params": list(model.parameters()), "lr": tuning.rate},
        {"params": [head], "lr": 3.0 * tuning.rate},
    ]
    steps = tuning.epochs * -(-len(learned) // tuning.groups)
    optimiser = torch.optim.AdamW(rates, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / tuning.warm_up) * (1.0 - step / steps)
    )
    model.train()
    for step, batch in enumerate(_batches(learned, ridge, tuning, seed)):
        loss = _loss(model, head, batch, device)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        torch.nn.utils.clip_grad_norm_([*model.parameters(), head], 50.0)
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress((step + 1) / steps)
    model.eval()
    model.save(str(out))
    seen = sorted({members[0].group for members in learned})
    (out / SEEN).write_bytes(msgspec.json.encode(seen))
    return out


class _Batch(NamedTuple):
    """Texts of some groups: y and weight as in `fit_ridge`, and which group each is of."""

    texts: list[str]
    y: Tensor
    weight: Tensor
    group: Tensor


def _batches(
    groups: Sequence[Sequence[Example]], ridge: Ridge, tuning: Tuning, seed: int
) -> Iterator[_Batch]:
    rng = np.random.default_rng(seed)
    for _ in range(tuning.epochs):
        order = rng.permutation(len(groups))
        for start in range(0, len(order), tuning.groups):
            chosen = [groups[k] for k in order[start : start + tuning.groups]]
            members = [member for group in chosen for member in group]
            number = np.repeat(np.arange(len(chosen)), [len(group) for group in chosen])
            y, weight = centred_rates(
                np.array([member.rate for member in members]),
                np.array([member.variance for member in members]),
                number,
                noise=ridge.noise,
            )
            yield _Batch(
                [member.text for member in members],
                torch.tensor(y, dtype=torch.float32),
                torch.tensor(weight, dtype=torch.float32),
                torch.tensor(number),
            )


def _loss(model: Any, head: Tensor, batch: _Batch, device: str) -> Tensor:
    from sentence_transformers.util import batch_to_device

    y, weight, group = (part.to(device) for part in (batch.y, batch.weight, batch.group))
    features = batch_to_device(model.preprocess(batch.texts), torch.device(device))
    scores = torch.nn.functional.normalize(model(features)["sentence_embedding"]) @ head
    n_groups = int(group.max()) + 1
    total = torch.zeros(n_groups, device=device).index_add(0, group, weight)
    sums = torch.zeros(n_groups, device=device).index_add(0, group, weight * scores)
    beyond = scores - (sums / total.clamp_min(1e-9))[group]
    return (weight * (beyond - y) ** 2).mean()
