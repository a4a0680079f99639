"""A reward model that is a transformer: which of two texts traffic would prefer, by RewardTrainer.

LoRA and a head on the language model, on the Bradley-Terry loss of pairs. It is judged as the
regression on embeddings is: calibrated on pairs that were held out, and trusted only if it surely
picks the better one more often than a coin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import datasets
import numpy as np
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from generator.data.dataset import Prefer
from generator.errors import DatasetError
from generator.models.device import own_device
from generator.reward.encoders import READS_AS
from generator.reward.model import calibrate, measure_accuracy
from generator.reward.regression import Pairs
from generator.reward.transformer import read_scores
from generator.training.running import (
    StageResult,
    TrainingJob,
    arguments,
    held_out_of,
    run,
)

SURE: Final = 0.9
"""The weight of pairs of which traffic says with 95 % that one is better; those judge."""


def train_scorer(job: TrainingJob) -> StageResult:
    """Trains on the pairs that traffic told apart, and says how good it is on those held out.

    Raises:
        DatasetError: there is no pair to train on, or none of which traffic is sure to judge by.
        TrainingStopped: it was told to stop.
        TrainingError: it cannot be run so, or failed.
    """
    # Refused texts tell of the gates, and nothing of what people like.
    train, test = held_out_of([pair for pair in job.dataset.prefer if not pair.refused])
    judges = [pair for pair in test if pair.weight >= SURE]
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
        train_dataset=_table(tokenizer, train),
        eval_dataset=_table(tokenizer, test),
        processing_class=tokenizer,
    )
    steps = run(job, trainer)
    rows = {"prefer/train": len(train), "prefer/test": len(test)}
    return StageResult(rows, steps, _judged(job, train, judges))


def _judged(job: TrainingJob, train: Sequence[Prefer], pairs: Sequence[Prefer]) -> dict[str, float]:
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


def _table(tokenizer: Any, pairs: Sequence[Prefer]) -> Any:
    return datasets.Dataset.from_list(
        [
            {
                "chosen_ids": tokenizer(READS_AS.format(pair.better)).input_ids,
                "rejected_ids": tokenizer(READS_AS.format(pair.worse)).input_ids,
            }
            for pair in pairs
        ]
    )
