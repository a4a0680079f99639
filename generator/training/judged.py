"""Learning from texts that are surely good or surely bad, without pairs, by TRL's KTOTrainer.

Ethayarajh et al. 2024. The labels must come from estimates (`Judge`), never from single clicks: at
a few percent of clicks, those tell of slots and users rather than of texts.
"""

from __future__ import annotations

import random
from typing import Any

import datasets
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from generator.data.dataset import Judge
from generator.errors import DatasetError
from generator.models.device import own_device
from generator.training.measuring import log_probs
from generator.training.rows import END, Reader, Row
from generator.training.running import (
    Job,
    Trained,
    arguments,
    held_out_of,
    history,
    run,
    silence,
)


def train_kto(job: Job) -> Trained:
    """Trains on judged texts; both kinds weigh the same in all, however many there are of each.

    Raises:
        DatasetError: there are no good texts to train on, or no bad ones.
        TrainingStopped: it was told to stop.
        TrainingError: it cannot be run so, or failed.
    """
    reader = Reader(job.base.tokenizer, job.config.max_tokens)
    train, test = (_rows(reader, rows) for rows in held_out_of(job.dataset.judge))
    good, bad = (sum(each.good is kind for each, _ in train) for kind in (True, False))
    if not (good and bad):
        raise DatasetError(
            f"{good} good texts and {bad} bad ones to train on, and it takes both; let more "
            "traffic come, lower the dataset's thresholds, or take another --method"
        )
    # Batches are taken in this order.
    random.Random(job.config.seed).shuffle(train)
    model, settings = job.base.model, job.config.kto
    model.to(own_device(job.device))
    before = _log_probs(job, test)
    made = arguments(
        job, epochs=settings.epochs, learning_rate=settings.learning_rate, held_out=bool(test)
    )
    datasets.disable_progress_bars()
    trainer = KTOTrainer(
        model=model,
        args=KTOConfig(
            **made,
            beta=settings.beta,
            max_length=None,
            desirable_weight=(good + bad) / (2 * good),
            undesirable_weight=(good + bad) / (2 * bad),
        ),
        train_dataset=_table(train),
        eval_dataset=_table(test) if test else None,
        processing_class=job.base.tokenizer,
    )
    silence(trainer)
    run(job, trainer)
    moved = [now - then for now, then in zip(_log_probs(job, test), before, strict=True)]
    metrics: dict[str, float] = {}
    for kind, name in ((True, "good"), (False, "bad")):
        own = [move for move, (each, _) in zip(moved, test, strict=True) if each.good is kind]
        if own:
            metrics[f"held_out_{name}_moved"] = sum(own) / len(own)
    rows = {"judge/train": len(train), "judge/test": len(test)}
    rows |= {f"left_out/{reason}": count for reason, count in reader.left_out.items()}
    return Trained(rows, history(job, trainer), metrics)


def _rows(reader: Reader, rows: list[Judge]) -> list[tuple[Judge, Row]]:
    found = [(each, reader.row(each.prompt, each.text)) for each in rows]
    return [(each, row) for each, row in found if row is not None]


def _log_probs(job: Job, rows: list[tuple[Judge, Row]]) -> list[float]:
    pad = job.base.tokenizer.pad_token_id
    return log_probs(job.base.model, [row for _, row in rows], pad, batch=job.config.batch)


def _table(rows: list[tuple[Judge, Row]]) -> Any:
    return datasets.Dataset.from_list(
        [
            {"prompt": each.prompt, "completion": each.text + END, "label": each.good}
            for each, _ in rows
        ]
    )
