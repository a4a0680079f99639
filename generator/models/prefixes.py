"""Prefix adapters (Li & Liang 2021): keys and values that stand before every prompt.

transformers loads adapters that change matrices only. A prefix changes none: it is a cache that
begins filled, so it is kept aside and given to the model with what it reads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from peft import PeftConfig, PrefixTuningConfig, TaskType
from peft.utils import load_peft_weights
from torch import Tensor
from transformers import DynamicCache


class Prefix(NamedTuple):
    """What a prefix puts into each layer: shape (layers, 2, heads, positions, head's width)."""

    states: Tensor

    @property
    def positions(self) -> int:
        """How many tokens it stands for."""
        return int(self.states.shape[3])

    def cache(self, rows: int) -> DynamicCache:
        """Returns a cache that holds it for so many rows."""
        spread = self.states[:, :, None].expand(-1, -1, rows, -1, -1, -1)
        return DynamicCache([(keys, values) for keys, values in spread])

    def before(self, mask: Tensor) -> Tensor:
        """Returns an attention mask with the prefix in front, shape (rows, positions + tokens)."""
        return torch.cat([mask.new_ones(len(mask), self.positions), mask], dim=-1)


def prefix_of(adapter: str, model: Any) -> Prefix | None:
    """Returns the prefix in a folder or under a hub id; None if the adapter is of another kind.

    Raises:
        OSError: there is no adapter.
        ValueError: there is none, it scores texts, or the prefix is not for a model of this shape.
    """
    shape = PeftConfig.from_pretrained(adapter)
    if shape.task_type == TaskType.SEQ_CLS:
        raise ValueError("it scores texts and writes none, as a run of the method reward does")
    if not isinstance(shape, PrefixTuningConfig):
        return None
    flat = load_peft_weights(adapter, device=str(model.device))["prompt_embeddings"]
    own = model.config
    heads = getattr(own, "num_key_value_heads", None) or own.num_attention_heads
    width = getattr(own, "head_dim", None) or own.hidden_size // own.num_attention_heads
    wanted = own.num_hidden_layers * 2 * heads * width
    if flat.shape[-1] != wanted:
        raise ValueError(
            f"the prefix has {flat.shape[-1]} numbers a position, and the model wants {wanted}"
        )
    states = flat.to(model.dtype).view(len(flat), own.num_hidden_layers, 2, heads, width)
    return Prefix(states.permute(1, 2, 3, 0, 4))
