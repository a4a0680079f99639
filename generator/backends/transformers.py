"""Models that transformers loads, on this machine.

Prompts that are the same are read once and continued many times: a headline takes a dozen
tokens, its prompt a hundred, so reading is most of what a plain batch would do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, StoppingCriteria, StoppingCriteriaList
from transformers.utils import logging as transformers_logging

from generator.backends import Progress
from generator.device import pick_device, use_one_thread
from generator.errors import BackendError


class TransformersBackend:
    """A causal language model from a folder or the hub; a `Backend`.

    Raises:
        BackendError: there is no such model, or it cannot be loaded.
    """

    def __init__(self, model: str, *, name: str) -> None:
        self.name = name
        device = pick_device()
        use_one_thread()
        try:
            with _quietly():
                loader: Any = AutoModelForCausalLM
                self._model = loader.from_pretrained(model, dtype=device.dtype)
                self._tokenizer: Any = AutoTokenizer.from_pretrained(model, padding_side="left")
        except (OSError, ValueError) as error:
            raise BackendError(
                f"model {model!r} cannot be loaded: expected smollm2, a folder with a model, or "
                f"a hub id that can be reached: {error}"
            ) from error
        self._model.to(device.name).eval()
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._device = device.name
        self._token_texts: list[str] = self._tokenizer.batch_decode(
            [[token] for token in range(len(self._tokenizer))]
        )

    def complete(
        self,
        prompts: Sequence[str],
        *,
        seed: int,
        stop: str,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        progress: Progress | None = None,
    ) -> list[str]:
        """Returns a continuation of each prompt (see `Backend.complete`)."""
        if not prompts:
            return []
        distinct = list(dict.fromkeys(prompts))
        rows = torch.tensor([distinct.index(prompt) for prompt in prompts], device=self._device)
        criteria = [] if progress is None else [_Progress(progress, max_new_tokens)]
        devices = [] if self._device == "cpu" else [self._device]
        try:
            with torch.inference_mode(), torch.random.fork_rng(devices):
                torch.manual_seed(seed)
                read = self._read(distinct, rows)
                tokens = self._model.generate(
                    **read,
                    do_sample=True,
                    temperature=temperature,
                    top_p=top_p,
                    top_k=0,
                    max_new_tokens=max_new_tokens,
                    eos_token_id=self._stop_tokens(stop),
                    pad_token_id=self._tokenizer.pad_token_id,
                    stopping_criteria=StoppingCriteriaList(criteria),
                )
        except RuntimeError as error:  # torch's errors, out of memory among them
            raise BackendError(f"{self.name} failed on {len(prompts)} prompts: {error}") from error
        new = tokens[:, read["input_ids"].shape[1] :]
        return [self._text(row, stop) for row in new.tolist()]

    def _read(self, distinct: list[str], rows: torch.Tensor) -> dict[str, Any]:
        """Reads each distinct prompt once; returns `generate`'s inputs, a row per completion."""
        batch = self._tokenizer(distinct, return_tensors="pt", padding=True).to(self._device)
        mask = batch.attention_mask
        # The last token is left for `generate`, which needs one to continue from.
        cache = self._model(
            input_ids=batch.input_ids[:, :-1],
            attention_mask=mask[:, :-1],
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0)[:, :-1],
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values
        cache.batch_select_indices(rows)
        return {
            "input_ids": batch.input_ids[rows],
            "attention_mask": mask[rows],
            "past_key_values": cache,
        }

    def _stop_tokens(self, stop: str) -> list[int]:
        stopping = [i for i, text in enumerate(self._token_texts) if any(c in text for c in stop)]
        return [*stopping, self._tokenizer.eos_token_id]

    def _text(self, tokens: list[int], stop: str) -> str:
        ended = self._tokenizer.eos_token_id in tokens
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        at = min((text.find(mark) for mark in stop if mark in text), default=None)
        if at is not None:
            return text[: at + 1]
        return text + stop if ended else text


class _Progress(StoppingCriteria):
    """Stops nothing: it is how `generate` lets us see each token."""

    def __init__(self, progress: Progress, max_new_tokens: int) -> None:
        self._progress = progress
        self._max_new_tokens = max_new_tokens
        self._done = 0

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        self._done += 1
        self._progress(self._done / self._max_new_tokens)
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Turns off transformers' progress bars for the block."""
    bars: Any = transformers_logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
