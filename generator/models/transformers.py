"""Models that transformers loads, on this machine, and the device that they run on.

A headline takes half a dozen tokens and its prompt a hundred and fifty, so two things are done
that `generate` would not: a prompt that comes several times is read once, and a text that has
ended is taken out of the batch.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.utils import logging as transformers_logging

from generator.errors import BackendError
from generator.models.base import Completion, CompletionProgress, Sampling, Usage, ended
from generator.models.devices import pick_device, use_one_thread

REPORTS: Final = "transformers.integrations.peft"
"""Who logs what was found of an adapter."""
MAX_CANDIDATES: Final = 256
"""Draws are from this many of the likeliest tokens at most: sorting a whole vocabulary is slow."""


class TransformersBackend:
    """A causal language model from a folder or the hub; a `Backend`.

    Raises:
        BackendError: there is no such model, or it cannot be loaded.
    """

    def __init__(self, model: str, *, name: str) -> None:
        self.name = name
        self.usage = Usage()
        self._adapters: dict[str, str | Prefix] = {}
        device = pick_device()
        use_one_thread()
        try:
            with quietly():
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
        sampling: Sampling,
        *,
        seed: int,
        adapter: str | None = None,
        progress: CompletionProgress | None = None,
    ) -> list[Completion]:
        """Returns a continuation of each prompt (see `Backend.complete`)."""
        if not prompts:
            return []
        prefix = self._use(adapter)
        draw = _Draw(sampling, torch.Generator(self._device).manual_seed(seed))
        stops = torch.tensor(self._stop_tokens(sampling.stop), device=self._device)
        limit = sampling.max_new_tokens
        written: list[list[int]] = [[] for _ in prompts]
        try:
            with torch.inference_mode():
                steps = self._write(self._read(prompts, prefix), draw, stops)
                for step, tokens in zip(range(limit), steps, strict=False):
                    for row, token in tokens:
                        written[row].append(token)
                    if progress is not None:
                        progress((step + 1) / limit)
        except RuntimeError as error:  # torch's errors, out of memory among them
            raise BackendError(f"{self.name} failed on {len(prompts)} prompts: {error}") from error
        self.usage.requests += 1
        self.usage.completion_tokens += sum(map(len, written))
        return [
            Completion(self._text(tokens, sampling.stop), self.name, adapter) for tokens in written
        ]

    def surprise(
        self, texts: Sequence[str], *, after: str, adapter: str | None = None
    ) -> list[float]:
        """Returns how surprised the model is by each text (see `Scorer.surprise`)."""
        if not texts:
            return []
        prefix = self._use(adapter)
        before = len(self._tokenizer(after).input_ids)
        read = self._tokenizer([after + text for text in texts], return_tensors="pt", padding=True)
        read = read.to(self._device)
        mask = read.attention_mask
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        try:
            with torch.inference_mode():
                logits = self._model(
                    input_ids=read.input_ids, **_after(prefix, mask, places)
                ).logits[:, :-1]
                likely = torch.log_softmax(logits.float(), dim=-1)
        except RuntimeError as error:  # torch's errors, out of memory among them
            raise BackendError(f"{self.name} failed on {len(texts)} texts: {error}") from error
        found = likely.gather(-1, read.input_ids[:, 1:, None])[..., 0]
        # What stands before a text is not counted, nor is the padding to its left.
        counted = (places[:, 1:] >= before) & (mask[:, 1:] == 1)
        total = -(found * counted).sum(-1) / counted.sum(-1).clamp(min=1)
        return [float(surprise) for surprise in total]

    def _use(self, adapter: str | None) -> Prefix | None:
        """Has the model write with this adapter, or with none; returns its prefix, if any."""
        if adapter is not None and adapter not in self._adapters:
            self._adapters[adapter] = self._load(adapter)
        used = self._adapters.get(adapter) if adapter is not None else None
        if isinstance(used, str):
            self._model.enable_adapters()
            self._model.set_adapter(used)
            return None
        if any(isinstance(loaded, str) for loaded in self._adapters.values()):
            self._model.disable_adapters()
        return used

    def _load(self, adapter: str) -> str | Prefix:
        """Returns the name that the model gives the adapter from now on, or the prefix."""
        name = f"adapter_{len(self._adapters)}"
        try:
            prefix = _prefix_of(adapter, self._model)
            if prefix is not None:
                return prefix
            with quietly(), warnings.catch_warnings():
                # Several adapters of one model are what is meant.
                warnings.filterwarnings("ignore", "Already found a `peft_config`")
                found = self._model.load_adapter(adapter, adapter_name=name)
            missing = [key for key in found.missing_keys if f".{name}." in key]
            if missing:
                raise ValueError(f"it has no weights for {len(missing)} of its parts: {missing[0]}")
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise BackendError(
                f"adapter {adapter!r} cannot be loaded into {self.name}: expected a folder or "
                f"a hub id with a LoRA or prefix adapter of this model: {error}"
            ) from error
        self._model.eval()
        return name

    def _read(self, prompts: Sequence[str], prefix: Prefix | None) -> _Batch:
        """Reads each distinct prompt once, but for its last token."""
        distinct = list(dict.fromkeys(prompts))
        read = self._tokenizer(distinct, return_tensors="pt", padding=True).to(self._device)
        mask = read.attention_mask
        self.usage.prompt_tokens += int(mask.sum())
        places = (mask.cumsum(-1) - 1).clamp(min=0)[:, :-1]
        cache = self._model(
            input_ids=read.input_ids[:, :-1],
            **_after(prefix, mask[:, :-1], places),
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values
        rows = torch.tensor([distinct.index(prompt) for prompt in prompts], device=self._device)
        cache.batch_select_indices(rows)
        whole = (prefix.before(mask) if prefix else mask)[rows]
        return _Batch(list(range(len(prompts))), read.input_ids[rows, -1:], whole, cache)

    def _write(self, batch: _Batch, draw: _Draw, stops: Tensor) -> Iterator[list[tuple[int, int]]]:
        """Yields the next token of every row that has not ended, as (row, token)."""
        rows, last, mask, cache = batch
        said = last[:, :0]
        while rows:
            logits = self._model(
                input_ids=last,
                attention_mask=mask,
                position_ids=mask.sum(-1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            tokens = draw(logits, said)
            yield list(zip(rows, tokens.tolist(), strict=True))
            going = (~torch.isin(tokens, stops)).nonzero()[:, 0]
            if len(going) < len(rows):
                rows = [rows[i] for i in going.tolist()]
                tokens, mask, said = tokens[going], mask[going], said[going]
                cache.batch_select_indices(going)
            last = tokens[:, None]
            said = torch.cat([said, last], dim=-1)
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)

    def _stop_tokens(self, stop: str) -> list[int]:
        stopping = [i for i, text in enumerate(self._token_texts) if any(c in text for c in stop)]
        return [*stopping, self._tokenizer.eos_token_id]

    def _text(self, tokens: list[int], stop: str) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        by_itself = tokens[-1] == self._tokenizer.eos_token_id
        return ended(text, stop, by_itself=by_itself)


def _after(prefix: Prefix | None, mask: Tensor, places: Tensor) -> dict[str, Any]:
    """Returns how the model is to see tokens at these places: behind the prefix, if any."""
    if prefix is None:
        return {"attention_mask": mask, "position_ids": places}
    return {
        "attention_mask": prefix.before(mask),
        "position_ids": places + prefix.positions,
        "past_key_values": prefix.cache(len(mask)),
    }


class Prefix(NamedTuple):
    """What a prefix adapter (Li & Liang 2021) puts into each layer, before every prompt.

    transformers loads adapters that change matrices only. A prefix changes none: it is a cache
    that begins filled, so it is kept aside and given to the model with what it reads.

    Attributes:
        states: keys and values, shape (layers, 2, heads, positions, head's width).
    """

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


def _prefix_of(adapter: str, model: Any) -> Prefix | None:
    """Returns the prefix in a folder or under a hub id; None if the adapter is of another kind."""
    # It takes a second, and most who write have no adapter.
    from peft import PeftConfig, PrefixTuningConfig, TaskType
    from peft.utils import load_peft_weights

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


class _Batch(NamedTuple):
    """Texts that are being written: their numbers, last tokens, attention masks, and the cache."""

    rows: list[int]
    last: Tensor
    mask: Tensor
    cache: Any


class _Draw(NamedTuple):
    """Nucleus sampling (Holtzman et al. 2020, section 3.1), at a temperature, above a floor.

    The floor is min-p (Nguyen et al. 2024): a share of what the likeliest token has, so it is
    low where the model is of many minds and high where it is sure.
    """

    sampling: Sampling
    generator: torch.Generator

    def __call__(self, logits: Tensor, said: Tensor) -> Tensor:
        """Returns a token for each row of logits; `said` are those that each row has already."""
        logits, sampling = logits.float(), self.sampling
        if sampling.presence_penalty:
            # A token that was said twice is written twice, the same each time.
            logits = logits.scatter(-1, said, logits.gather(-1, said) - sampling.presence_penalty)
        logits = logits / sampling.temperature
        likeliest, tokens = logits.topk(min(MAX_CANDIDATES, logits.shape[-1]))
        pmf = (likeliest - logits.logsumexp(-1, keepdim=True)).exp()
        # A token is in the nucleus if what is likelier does not fill it yet; so one always is.
        outside = pmf.cumsum(-1) - pmf >= sampling.top_p
        pmf[outside | (pmf < sampling.min_p * pmf[:, :1])] = 0.0
        drawn = torch.multinomial(pmf, 1, generator=self.generator)
        return tokens.gather(-1, drawn)[:, 0]


@contextlib.contextmanager
def quietly(*, heads: bool = False) -> Iterator[None]:
    """Turns off, for the block, transformers' progress bars and its reports on adapters.

    Such a report calls all weights missing that other adapters of the same model have. With
    `heads` it is silent, too, on a head that is yet to be trained or read.
    """
    bars: Any = transformers_logging
    shown, reports = bars.is_progress_bar_enabled(), logging.getLogger(REPORTS)
    level, verbosity = reports.level, bars.get_verbosity()
    bars.disable_progress_bar()
    reports.setLevel(logging.ERROR)
    if heads:
        bars.set_verbosity_error()
    try:
        yield
    finally:
        reports.setLevel(level)
        bars.set_verbosity(verbosity)
        if shown:
            bars.enable_progress_bar()
