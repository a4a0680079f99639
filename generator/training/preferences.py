"""Direct preference optimisation in which every pair counts by how sure it is.

The loss of a pair is `weight · -log sigmoid(beta · d) + anchor · NLL(better)`, where `d` is how
much more the adapter raised the better text's log-probability than the worse one's (Rafailov et
al. 2023, equation 7). TRL's trainer knows no weights of rows. What the reference says is computed
once, beforehand, by the adapter that the training starts from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments

from generator.data.dataset import Prefer
from generator.errors import DatasetError
from generator.models.device import own_device
from generator.training.config import DpoConfig
from generator.training.measuring import log_ratios
from generator.training.rows import Batch, Pair, Reader, batch_of, text_log_probs
from generator.training.running import (
    Job,
    Trained,
    arguments,
    held_out_of,
    history,
    run,
    silence,
)


class Referred(NamedTuple):
    """A pair, and how much likelier its better text was than its worse one, in nats, before."""

    pair: Pair
    reference: float


def train_dpo(job: Job) -> Trained:
    """Trains on pairs; the reference is the model with the adapter that it starts from.

    Raises:
        DatasetError: there is no pair to train on.
        TrainingStopped: it was told to stop.
        TrainingError: it cannot be run so, or failed.
    """
    reader = Reader(job.base.tokenizer, job.config.max_tokens)
    to_train, to_test = held_out_of(job.dataset.prefer)
    settings = job.config.dpo
    fewer = surest(to_train, settings.most_pairs)
    train, test = reader.pairs(fewer), reader.pairs(to_test)
    if not train:
        raise DatasetError(
            "no pairs to train on; let more traffic come, lower the dataset's thresholds, or "
            "learn from the best texts alone: --method sft"
        )
    model, pad = job.base.model, job.base.tokenizer.pad_token_id
    model.to(own_device(job.device))
    before = log_ratios(model, [*train, *test], pad, batch=job.config.batch)
    referred = [Referred(*both) for both in zip([*train, *test], before, strict=True)]
    made = arguments(
        job, epochs=settings.epochs, learning_rate=settings.learning_rate, held_out=bool(test)
    )
    trainer = PreferenceTrainer(
        settings,
        model=model,
        args=TrainingArguments(**made, remove_unused_columns=False),
        data_collator=lambda pairs: _inputs(pairs, pad),
        train_dataset=referred[: len(train)],
        eval_dataset=referred[len(train) :] or None,
        processing_class=job.base.tokenizer,
    )
    silence(trainer)
    run(job, trainer)
    metrics: dict[str, float] = {}
    if test:
        after = log_ratios(model, test, pad, batch=job.config.batch)
        metrics |= _margins("held_out_{}_before", before[len(train) :])
        metrics |= _margins("held_out_{}", after)
    rows = {"prefer/train": len(train), "prefer/test": len(test)}
    rows |= {f"left_out/{reason}": count for reason, count in reader.left_out.items()}
    if len(fewer) < len(to_train):
        rows["left_out/beyond_most_pairs"] = len(to_train) - len(fewer)
    return Trained(rows, history(job, trainer), metrics)


def surest(pairs: Sequence[Prefer], most: int | None) -> list[Prefer]:
    """Returns so many pairs at most, in the order that they came in.

    Each group keeps the same share of its pairs, its surest ones: a group is what has a brief,
    placement and segment in common, and was told apart by traffic, or by a gate.
    """
    if most is None or len(pairs) <= most:
        return list(pairs)
    groups: dict[tuple[str, str, str, bool], list[int]] = defaultdict(list)
    for n, pair in enumerate(pairs):
        groups[pair.brief, pair.placement, pair.segment, pair.refused].append(n)
    place: dict[int, float] = {}
    for group in groups.values():
        by_certainty = sorted(group, key=lambda n: -pairs[n].weight)
        place |= {n: (k + 0.5) / len(group) for k, n in enumerate(by_certainty)}
    kept = sorted(sorted(place, key=lambda n: place[n])[:most])
    return [pairs[n] for n in kept]


class PreferenceTrainer(Trainer):
    """Transformers' trainer with this loss; it is made to be told one by a class of its kind."""

    def __init__(self, settings: DpoConfig, **known: Any) -> None:
        super().__init__(**known)
        self._settings = settings
        # The loss is a mean over the batch, which accumulated steps have to share out.
        self.loss_is_scaled_for_ga = False

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Returns the mean loss of the batch's pairs."""
        loss = preference_loss(model, inputs, self._settings)
        return (loss, {}) if return_outputs else loss

    def prediction_step(
        self,
        model: Any,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: Any = None,
    ) -> tuple[Tensor, None, None]:
        """Returns the loss alone."""
        with torch.no_grad():
            loss = self.compute_loss(model, self._prepare_inputs(inputs))
        return loss.detach(), None, None


def preference_loss(model: Any, inputs: dict[str, Any], settings: DpoConfig) -> Tensor:
    """Returns the mean loss over a batch: the first half of its rows are the better texts."""
    batch = Batch(**{name: inputs[name] for name in Batch._fields})
    log_probs, lengths = text_log_probs(model, batch)
    better, worse = log_probs.chunk(2)
    moved = (better - worse) - inputs["reference"]
    preferred = -torch.nn.functional.logsigmoid(settings.beta * moved)
    anchored = -better / lengths.chunk(2)[0]
    loss: Tensor = (inputs["weight"] * preferred + settings.anchor * anchored).mean()
    return loss


def _inputs(pairs: Sequence[Referred], pad: int) -> dict[str, Any]:
    rows = [*(each.pair.better for each in pairs), *(each.pair.worse for each in pairs)]
    return {
        **batch_of(rows, pad)._asdict(),
        "reference": torch.tensor([each.reference for each in pairs]),
        "weight": torch.tensor([each.pair.weight for each in pairs]),
    }


def _margins(name: str, ratios: Sequence[float]) -> dict[str, float]:
    """Returns the mean log-ratio of pairs, and the share of them that it ranks rightly."""
    right = sum(ratio > 0.0 for ratio in ratios) / len(ratios)
    return {name.format("margin"): sum(ratios) / len(ratios), name.format("right"): right}
