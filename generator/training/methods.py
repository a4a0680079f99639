"""Methods that learn from rows: texts to imitate, pairs to prefer by, texts judged good or bad.

Each trains the adapter of a job in place, and measures it on the rows that are held out. It raises
`DatasetError` where there are too few rows, and what `run` raises.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import datasets
import numpy as np
import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from generator.data.dataset import Judge, Prefer
from generator.errors import DatasetError
from generator.models.devices import own_device
from generator.reward.encoders import READS_AS
from generator.reward.model import calibrate, measure_accuracy
from generator.reward.regression import Pairs
from generator.reward.transformer import read_scores
from generator.training.config import DpoConfig
from generator.training.rows import (
    END,
    IGNORED,
    Pair,
    RowReader,
    TokenBatch,
    TokenRow,
    batch_of,
    log_probs,
    text_log_probs,
)
from generator.training.running import (
    StageResult,
    TrainingJob,
    arguments,
    held_out_of,
    run,
)


def train_sft(job: TrainingJob) -> StageResult:
    """Trains on the texts to imitate; only the text's tokens count, not its prompt's."""
    reader = RowReader(job.base.tokenizer, job.config.max_tokens)
    train, test = (
        [row for each in rows if (row := reader.row(each.prompt, each.text)) is not None]
        for rows in held_out_of(job.dataset.imitate)
    )
    if not train:
        left_out = ", ".join(f"{reason} {count}" for reason, count in reader.left_out.items())
        raise DatasetError(
            f"no texts to imitate ({left_out or 'the dataset has none for training'}); let more "
            "traffic come, lower the dataset's thresholds, or learn from pairs alone: --method dpo"
        )
    metrics = {}
    if test:
        # By its own hand: a trainer that evaluates first never joins the processes' gradients.
        job.base.model.to(own_device(job.device))
        metrics["held_out_loss_before"] = _mean_loss(job, test)
    made = arguments(job, held_out=bool(test))
    trainer = SFTTrainer(
        model=job.base.model,
        # The rows are tokens already, read as the generator reads its prompts.
        args=SFTConfig(**made, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=datasets.Dataset.from_list([row._asdict() for row in train]),
        eval_dataset=datasets.Dataset.from_list([row._asdict() for row in test]) if test else None,
        processing_class=job.base.tokenizer,
    )
    steps = run(job, trainer)
    if test:
        metrics["held_out_loss"] = _mean_loss(job, test)
    rows = {"imitate/train": len(train), "imitate/test": len(test)}
    if paraphrased := sum(bool(row.made_from) for row in job.dataset.imitate):
        rows["imitate/paraphrased"] = paraphrased
    return StageResult(rows | reader.counts(), steps, metrics)


def _mean_loss(job: TrainingJob, rows: Sequence[TokenRow]) -> float:
    """Returns the mean negative log-likelihood of the texts' tokens, in nats."""
    tokens = sum(label != IGNORED for row in rows for label in row.labels)
    return -sum(_log_probs(job, rows)) / tokens


def _log_probs(job: TrainingJob, rows: Sequence[TokenRow]) -> list[float]:
    pad = job.base.tokenizer.pad_token_id
    return log_probs(job.base.model, rows, pad, batch=job.config.batch)


def train_dpo(job: TrainingJob) -> StageResult:
    """Trains on pairs, each weighted by how sure it is.

    The loss is `weight · -log sigmoid(beta · d) + anchor · NLL(better)`, where `d` is how much more
    the adapter raised the better text's log-probability than the worse one's (Rafailov et al. 2023,
    equation 7). The reference is the adapter that the training starts from, asked once beforehand.
    """
    reader = RowReader(job.base.tokenizer, job.config.max_tokens)
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
    before = _log_ratios(job, [*train, *test])
    referred = list(zip([*train, *test], before, strict=True))
    made = arguments(job, held_out=bool(test))
    trainer = PreferenceTrainer(
        settings,
        model=model,
        args=TrainingArguments(**made, remove_unused_columns=False),
        data_collator=lambda pairs: _inputs(pairs, pad),
        train_dataset=referred[: len(train)],
        eval_dataset=referred[len(train) :] or None,
        processing_class=job.base.tokenizer,
    )
    steps = run(job, trainer)
    metrics: dict[str, float] = {}
    if test:
        metrics |= _margins("held_out_{}_before", before[len(train) :])
        metrics |= _margins("held_out_{}", _log_ratios(job, test))
    rows = {"prefer/train": len(train), "prefer/test": len(test)} | reader.counts()
    if len(fewer) < len(to_train):
        rows["left_out/beyond_most_pairs"] = len(to_train) - len(fewer)
    return StageResult(rows, steps, metrics)


def _log_ratios(job: TrainingJob, pairs: Sequence[Pair]) -> list[float]:
    """Returns log p(better) - log p(worse) of each pair, in nats."""
    found = _log_probs(job, [row for pair in pairs for row in (pair.better, pair.worse)])
    return [better - worse for better, worse in zip(found[::2], found[1::2], strict=True)]


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
    batch = TokenBatch(**{name: inputs[name] for name in TokenBatch._fields})
    log_probs, lengths = text_log_probs(model, batch)
    better, worse = log_probs.chunk(2)
    moved = (better - worse) - inputs["reference"]
    preferred = -torch.nn.functional.logsigmoid(settings.beta * moved)
    anchored = -better / lengths.chunk(2)[0]
    loss: Tensor = (inputs["weight"] * preferred + settings.anchor * anchored).mean()
    return loss


def _inputs(pairs: Sequence[tuple[Pair, float]], pad: int) -> dict[str, Any]:
    """Returns a batch of pairs, each with its log-ratio before, in nats."""
    rows = [*(pair.better for pair, _ in pairs), *(pair.worse for pair, _ in pairs)]
    return {
        **batch_of(rows, pad)._asdict(),
        "reference": torch.tensor([reference for _, reference in pairs]),
        "weight": torch.tensor([pair.weight for pair, _ in pairs]),
    }


def _margins(name: str, ratios: Sequence[float]) -> dict[str, float]:
    """Returns the mean log-ratio of pairs, and the share of them that it ranks rightly."""
    right = sum(ratio > 0.0 for ratio in ratios) / len(ratios)
    return {name.format("margin"): sum(ratios) / len(ratios), name.format("right"): right}


def train_kto(job: TrainingJob) -> StageResult:
    """Trains on judged texts, without pairs (Ethayarajh et al. 2024); both kinds weigh the same.

    Labels must come from estimates (`Judge`): single clicks tell of slots and users, not of texts.
    """
    reader = RowReader(job.base.tokenizer, job.config.max_tokens)
    train, test = (
        [(each, row) for each in rows if (row := reader.row(each.prompt, each.text)) is not None]
        for rows in held_out_of(job.dataset.judge)
    )
    good, bad = (sum(each.good is kind for each, _ in train) for kind in (True, False))
    if not (good and bad):
        raise DatasetError(
            f"{good} good texts and {bad} bad ones to train on, and it takes both; let more "
            "traffic come, lower the dataset's thresholds, or take another --method"
        )
    # Batches are taken in this order.
    random.Random(job.config.seed).shuffle(train)
    job.base.model.to(own_device(job.device))
    before = _log_probs(job, [row for _, row in test])
    datasets.disable_progress_bars()
    trainer = KTOTrainer(
        model=job.base.model,
        args=KTOConfig(
            **arguments(job, held_out=bool(test)),
            beta=job.config.kto.beta,
            max_length=None,
            desirable_weight=(good + bad) / (2 * good),
            undesirable_weight=(good + bad) / (2 * bad),
        ),
        train_dataset=_judged(train),
        eval_dataset=_judged(test) if test else None,
        processing_class=job.base.tokenizer,
    )
    steps = run(job, trainer)
    after = _log_probs(job, [row for _, row in test])
    metrics: dict[str, float] = {}
    for kind, name in ((True, "good"), (False, "bad")):
        moved = [
            now - then
            for now, then, (each, _) in zip(after, before, test, strict=True)
            if each.good is kind
        ]
        if moved:
            metrics[f"held_out_{name}_moved"] = sum(moved) / len(moved)
    rows = {"judge/train": len(train), "judge/test": len(test)}
    return StageResult(rows | reader.counts(), steps, metrics)


def _judged(rows: Sequence[tuple[Judge, TokenRow]]) -> Any:
    return datasets.Dataset.from_list(
        [
            {"prompt": each.prompt, "completion": each.text + END, "label": each.good}
            for each, _ in rows
        ]
    )


SURE_WEIGHT: Final = 0.9
"""The weight of pairs of which traffic says with 95 % that one is better; those judge."""


def train_scorer(job: TrainingJob) -> StageResult:
    """Trains LoRA and a head to score texts, on the Bradley-Terry loss of pairs.

    It is judged as the regression on embeddings is: by how often it picks the better of two texts
    that were held out.
    """
    # Refused texts tell of the gates, and nothing of what people like.
    train, test = held_out_of([pair for pair in job.dataset.prefer if not pair.refused])
    judges = [pair for pair in test if pair.weight >= SURE_WEIGHT]
    if not train or not judges:
        raise DatasetError(
            f"{len(train)} pairs to train on and {len(judges)} held out to judge by, and it takes "
            "both; let more traffic come, or make the dataset with more --held-out"
        )
    model, tokenizer = job.base.model, job.base.tokenizer
    model.to(own_device(job.device))
    datasets.disable_progress_bars()
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(
            **arguments(job, held_out=True),
            max_length=None,
            center_rewards_coefficient=job.config.reward.centre,
        ),
        train_dataset=_pair_tokens(tokenizer, train),
        eval_dataset=_pair_tokens(tokenizer, test),
        processing_class=tokenizer,
    )
    steps = run(job, trainer)
    rows = {"prefer/train": len(train), "prefer/test": len(test)}
    return StageResult(rows, steps, _accuracy(job, train, judges))


def _accuracy(
    job: TrainingJob, train: Sequence[Prefer], pairs: Sequence[Prefer]
) -> dict[str, float]:
    """Returns its accuracy with the interval, and what makes chances of scores."""
    keys = {(p.placement, p.brief, text): 0 for p in pairs for text in (p.better, p.worse)}
    row = {key: n for n, key in enumerate(keys)}
    names = list(dict.fromkeys((placement, brief) for placement, brief, _ in keys))
    number = {name: n for n, name in enumerate(names)}
    group = np.array([number[placement, brief] for placement, brief, _ in keys], dtype=np.int64)
    scores = _scores(job, [text for _, _, text in keys])
    found = Pairs(
        np.array([row[p.placement, p.brief, p.better] for p in pairs], dtype=np.int64),
        np.array([row[p.placement, p.brief, p.worse] for p in pairs], dtype=np.int64),
    )
    accuracy = measure_accuracy(scores, found, group, seed=job.config.seed)
    company = list(dict.fromkeys(text for pair in train for text in (pair.better, pair.worse)))
    return {
        "held_out_right": accuracy.value,
        "held_out_right_low": accuracy.interval.low,
        "held_out_right_high": accuracy.interval.high,
        "held_out_pairs": float(accuracy.n_pairs),
        "slope": calibrate(scores, found),
        "centre": float(_scores(job, company).mean()),
    }


def _scores(job: TrainingJob, texts: Sequence[str]) -> Any:
    return read_scores(job.base.model, job.base.tokenizer, texts, batch=2 * job.config.batch)


def _pair_tokens(tokenizer: Any, pairs: Sequence[Prefer]) -> Any:
    return datasets.Dataset.from_list(
        [
            {
                "chosen_ids": tokenizer(READS_AS.format(pair.better)).input_ids,
                "rejected_ids": tokenizer(READS_AS.format(pair.worse)).input_ids,
            }
            for pair in pairs
        ]
    )
