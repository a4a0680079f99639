"""What a model says of texts, computed by all processes together, each a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from generator.training.rows import IGNORED, Pair, Row, batch_of, text_log_probs


def log_probs(model: Any, rows: Sequence[Row], pad: int, *, batch: int) -> list[float]:
    """Returns the log-probability of each row's text, in nats; all processes get the whole."""
    found: list[float] = []
    device = next(model.parameters()).device
    model.eval()
    with PartialState().split_between_processes(list(rows)) as own, torch.inference_mode():
        for start in range(0, len(own), batch):
            some = batch_of(own[start : start + batch], pad).to(device)
            found.extend(text_log_probs(model, some)[0].tolist())
    gathered: list[float] = gather_object(found)
    return gathered


def log_ratios(model: Any, pairs: Sequence[Pair], pad: int, *, batch: int) -> list[float]:
    """Returns log p(better) - log p(worse) of each pair, in nats."""
    texts = [row for pair in pairs for row in (pair.better, pair.worse)]
    found = log_probs(model, texts, pad, batch=batch)
    return [better - worse for better, worse in zip(found[::2], found[1::2], strict=True)]


def mean_loss(model: Any, rows: Sequence[Row], pad: int, *, batch: int) -> float:
    """Returns the mean negative log-likelihood of the texts' tokens, in nats."""
    tokens = sum(label != IGNORED for row in rows for label in row.labels)
    return -sum(log_probs(model, rows, pad, batch=batch)) / tokens
