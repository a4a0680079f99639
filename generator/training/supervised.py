"""Supervised fine-tuning: the model learns to write the texts that won, by TRL's SFTTrainer."""

from __future__ import annotations

from datasets import Dataset as Table
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from generator.data.dataset import Imitate
from generator.errors import DatasetError
from generator.models.device import own_device
from generator.training.measuring import mean_loss
from generator.training.rows import Reader, Row
from generator.training.running import (
    Job,
    Trained,
    arguments,
    held_out_of,
    history,
    run,
    silence,
)


def train_sft(job: Job) -> Trained:
    """Trains on the texts to imitate; only the text's tokens count, not its prompt's.

    Raises:
        DatasetError: there is no such text to train on.
        TrainingStopped: it was told to stop.
        TrainingError: it cannot be run so, or failed.
    """
    reader = Reader(job.base.tokenizer, job.config.max_tokens)
    train, test = (_rows(reader, rows) for rows in held_out_of(job.dataset.imitate))
    if not train:
        raise DatasetError(
            f"no texts to imitate ({_reasons(reader)}); let more traffic come, lower the "
            "dataset's thresholds, or learn from pairs alone: --method dpo"
        )
    model, settings, pad = job.base.model, job.config.sft, job.base.tokenizer.pad_token_id
    metrics = {}
    if test:
        # By its own hand: a trainer that evaluates first never joins the processes' gradients.
        model.to(own_device(job.device))
        metrics["held_out_loss_before"] = mean_loss(model, test, pad, batch=job.config.batch)
    made = arguments(
        job, epochs=settings.epochs, learning_rate=settings.learning_rate, held_out=bool(test)
    )
    trainer = SFTTrainer(
        model=model,
        # The rows are tokens already, read as the generator reads its prompts.
        args=SFTConfig(**made, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}),
        train_dataset=_table(train),
        eval_dataset=_table(test) if test else None,
        processing_class=job.base.tokenizer,
    )
    silence(trainer)
    run(job, trainer)
    if test:
        metrics["held_out_loss"] = mean_loss(model, test, pad, batch=job.config.batch)
    rows = {"imitate/train": len(train), "imitate/test": len(test)}
    if paraphrased := sum(bool(row.made_from) for row in job.dataset.imitate):
        rows["imitate/paraphrased"] = paraphrased
    rows |= {f"left_out/{reason}": count for reason, count in reader.left_out.items()}
    return Trained(rows, history(job, trainer), metrics)


def _rows(reader: Reader, rows: list[Imitate]) -> list[Row]:
    found = [reader.row(each.prompt, each.text) for each in rows]
    return [row for row in found if row is not None]


def _reasons(reader: Reader) -> str:
    left_out = ", ".join(f"{reason} {count}" for reason, count in reader.left_out.items())
    return left_out or "the dataset has none for training"


def _table(rows: list[Row]) -> Table:
    return Table.from_list([row._asdict() for row in rows])
