"""Rows as tokens: a prompt, and the text that goes on from it up to its end.

Prompt and text are read apart, as when the model writes: read together, signs at the seam could
merge into tokens that a prompt alone never ends with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor

from generator.data.dataset import Prefer
from generator.screening.screen import STOP

END: Final = STOP[0]
"""What a taught text ends with is what ends a written one."""
IGNORED: Final = -100
"""Labels with this number are not learned (torch's own default)."""


class TokenRow(NamedTuple):
    """Tokens of prompt and text; labels are the text's own tokens, `IGNORED` for the prompt's."""

    input_ids: list[int]
    labels: list[int]


class Pair(NamedTuple):
    """A better and a worse text for one prompt, and how sure that is, in [0, 1]."""

    better: TokenRow
    worse: TokenRow
    weight: float


class TokenBatch(NamedTuple):
    """Rows side by side, padded on the left, each of shape (n_rows, n_tokens).

    `kept` is how many positions at the end hold every row's text, and the one before it.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    kept: int

    def to(self, device: torch.device) -> TokenBatch:
        """Returns it on this device."""
        ids, mask, labels, kept = self
        return TokenBatch(ids.to(device), mask.to(device), labels.to(device), kept)


class RowReader:
    """Reads texts into rows, and counts what it had to leave out by reason."""

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self.left_out: Counter[str] = Counter()

    def row(self, prompt: str, text: str) -> TokenRow | None:
        """Returns the row; None if it is too long, or its text would end before its end."""
        if any(mark in text for mark in STOP):
            self.left_out["end_within_text"] += 1
            return None
        before = self._tokenizer(prompt).input_ids
        after = self._tokenizer(text + END, add_special_tokens=False).input_ids
        if len(before) + len(after) > self._max_tokens:
            self.left_out["too_long"] += 1
            return None
        return TokenRow(before + after, [IGNORED] * len(before) + after)

    def pairs(self, rows: Iterable[Prefer]) -> list[Pair]:
        """Returns the pairs both of whose texts make a row."""
        found = []
        for each in rows:
            better, worse = self.row(each.prompt, each.better), self.row(each.prompt, each.worse)
            if better is not None and worse is not None:
                found.append(Pair(better, worse, each.weight))
        return found

    def counts(self) -> dict[str, int]:
        """Returns how many rows were left out, as `left_out/REASON`."""
        return {f"left_out/{reason}": count for reason, count in self.left_out.items()}


def batch_of(rows: Sequence[TokenRow], pad: int) -> TokenBatch:
    """Returns rows as tensors; padded on the left, all texts stand at the end."""
    longest = max(len(row.input_ids) for row in rows)
    ids, mask, labels = [], [], []
    for row in rows:
        gap = longest - len(row.input_ids)
        ids.append([pad] * gap + row.input_ids)
        mask.append([0] * gap + [1] * len(row.input_ids))
        labels.append([IGNORED] * gap + row.labels)
    kept = 1 + max(sum(label != IGNORED for label in row.labels) for row in rows)
    return TokenBatch(torch.tensor(ids), torch.tensor(mask), torch.tensor(labels), kept)


def text_log_probs(model: Any, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Returns the log-probability of each text, and its number of tokens, both (n_rows,)."""
    places = (batch.attention_mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        position_ids=places,
        # Places one by one: a slice is not contiguous, and torch would copy the matrix of the
        # whole vocabulary for each row.
        logits_to_keep=torch.arange(-batch.kept, 0, device=places.device),
        use_cache=False,
    ).logits[:, :-1]
    labels = batch.labels[:, -batch.kept + 1 :]
    own = labels != IGNORED
    likely = torch.log_softmax(logits.float(), dim=-1)
    found = likely.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return (found * own).sum(-1), own.sum(-1)


def log_probs(model: Any, rows: Sequence[TokenRow], pad: int, *, batch: int) -> list[float]:
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
