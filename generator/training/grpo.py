"""Group-relative policy optimisation: the model writes, and learns from what its texts are worth.

Shao et al. 2024; TRL's GRPOTrainer. Of each prompt a group of texts is written, and each is raised
or lowered by how much better than its group it is rewarded. No text is needed, only prompts; what
makes a text good is a reward model's word, so one that is not trusted is refused.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import datasets
import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from generator.brief.prompts import brief_said
from generator.data.dataset import Imitate, Judge, Prefer
from generator.errors import DatasetError
from generator.models.base import ended
from generator.models.devices import own_device
from generator.reward.ranking import open_trusted
from generator.reward.regression import Floats
from generator.screening.gates.likeness import vectors_of
from generator.screening.screen import STOP, CandidateText, Screen, clean, harmful, singly
from generator.screening.settings import usual
from generator.training.config import GrpoConfig
from generator.training.running import StageResult, TrainingJob, arguments, run

Promise: TypeAlias = Callable[[Sequence[str]], Floats]
"""Returns of each text the chance of doing better than its company, shape (n_texts,)."""
DRAWS: Final = 4
"""Groups of each held-out prompt by which the rewards are measured, before and after."""


class TextRewards(NamedTuple):
    """What each reward says of texts, each of shape (n_texts,)."""

    promise: Floats
    format: Floats
    diversity: Floats
    policy: Floats


NAMES: Final = TextRewards._fields
"""The rewards, as they are logged and weighted."""


class Rewards:
    """Rewards texts; the trainer asks for one after the other of the same texts.

    Args:
        settings: how long texts may be, in which language, and how many are a group.
        promise: of the reward model.
        eos: the token by which the model ends a text itself.
    """

    def __init__(self, settings: GrpoConfig, promise: Promise, *, eos: int) -> None:
        self._settings, self._promise, self._eos = settings, promise, eos
        # A group's texts are measured against each other, which the gates would do with refusals.
        self._limits = singly(usual())
        self._last: tuple[tuple[str, ...], TextRewards] | None = None

    def functions(self) -> list[Callable[..., list[float]]]:
        """Returns the rewards in the order of `NAMES`, as TRL calls them."""
        return [self._function(name) for name in NAMES]

    def tell(
        self, prompts: Sequence[str], completions: Sequence[str], tokens: Sequence[Sequence[int]]
    ) -> TextRewards:
        """Returns all rewards of completions.

        Args:
            prompts: of each; a group's stand side by side.
            completions: as the model wrote them, up to and with what ends them.
            tokens: of each, to tell by whom it was ended.
        """
        key = (*prompts, *completions)
        if self._last is None or self._last[0] != key:
            whole = [
                ended(text, STOP, by_itself=bool(ids) and ids[-1] == self._eos)
                for text, ids in zip(completions, tokens, strict=True)
            ]
            cleaned = [clean(text) for text in whole]
            written = [CandidateText(text, ended=finished) for text, finished in cleaned]
            self._last = key, self._told(prompts, written)
        return self._last[1]

    def _function(self, name: str) -> Callable[..., list[float]]:
        def reward(
            prompts: list[str],
            completions: list[str],
            completion_ids: list[list[int]],
            **_: Any,
        ) -> list[float]:
            found: Floats = getattr(self.tell(prompts, completions, completion_ids), name)
            return [float(value) for value in found]

        reward.__name__ = name
        return reward

    def _told(self, prompts: Sequence[str], written: Sequence[CandidateText]) -> TextRewards:
        texts = [each.text for each in written]
        passed, harm = np.zeros(len(texts), dtype=bool), np.zeros(len(texts), dtype=bool)
        for prompt in dict.fromkeys(prompts):
            rows = [row for row, each in enumerate(prompts) if each == prompt]
            own = [written[row] for row in rows]
            brief = brief_said(
                prompt,
                language=self._settings.language,
                max_characters=self._settings.most_characters,
            )
            verdicts = Screen(brief, thresholds=self._limits).judge(own)
            passed[rows] = [verdict.rejection is None for verdict in verdicts]
            harm[rows] = harmful(brief, [each.text for each in own], self._limits)
        promise = np.zeros(len(texts))
        if passed.any():
            # Of a text without words a reader may make nothing at all.
            promise[passed] = self._promise([texts[row] for row in np.flatnonzero(passed)])
        return TextRewards(
            promise=promise,
            format=passed.astype(np.float64),
            diversity=np.where(passed, _diversity(texts, self._settings.group), 0.0),
            policy=-harm.astype(np.float64),
        )


def _diversity(texts: Sequence[str], group: int) -> Floats:
    """Returns 1 less the cosine to the nearest other text of the group, in [0, 1]."""
    found = np.zeros(len(texts))
    for start in range(0, len(texts), group):
        own = texts[start : start + group]
        directions = vectors_of(own)
        alike = np.asarray(directions @ directions.T, dtype=np.float64)
        # Twice the same says nothing new, with words or without.
        alike[np.array([[one == other for other in own] for one in own])] = 1.0
        np.fill_diagonal(alike, -1.0)
        found[start : start + group] = 1.0 - np.clip(alike.max(axis=1), 0.0, 1.0)
    return found


def train_grpo(job: TrainingJob) -> StageResult:
    """Trains on the prompts of all rows; those held out are written for before and after.

    Raises:
        DatasetError: there are fewer prompts than an update takes.
        RewardModelError: the reward model cannot be read, or is not to be trusted.
    """
    config, settings = job.config, job.config.grpo
    train, test, left_out = _prompts(job)
    model, tokenizer = job.base.model, job.base.tokenizer
    rewards = Rewards(
        settings,
        open_trusted(Path(settings.reward or "")).chances,
        eos=tokenizer.eos_token_id,
    )
    # Where a written text ends, a taught one does.
    model.generation_config.eos_token_id = _ends(tokenizer)
    model.to(own_device(job.device))
    metrics = {f"held_out_{name}_before": v for name, v in _told(job, rewards, test).items()}
    functions: list[Any] = [*rewards.functions()]
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=functions,
        args=GRPOConfig(**_arguments(job, held_out=bool(test))),
        train_dataset=datasets.Dataset.from_dict({"prompt": train}),
        eval_dataset=datasets.Dataset.from_dict({"prompt": test})
        if test and config.patience is not None
        else None,
        processing_class=tokenizer,
    )
    steps = run(job, trainer)
    metrics |= {f"held_out_{name}": v for name, v in _told(job, rewards, test).items()}
    rows = {"prompt/train": len(train), "prompt/test": len(test), "left_out/too_long": left_out}
    return StageResult(
        {name: n for name, n in rows.items() if n or "left_out" not in name},
        steps,
        metrics,
    )


def _arguments(job: TrainingJob, *, held_out: bool) -> dict[str, Any]:
    config, settings = job.config, job.config.grpo
    watched = {"metric_for_best_model": "reward", "greater_is_better": True}
    return {
        **arguments(job, held_out=held_out),
        **(watched if config.patience is not None else {}),
        "per_device_eval_batch_size": config.batch * config.accumulate,
        "beta": settings.beta,
        "num_generations": settings.group,
        "max_completion_length": settings.new_tokens,
        "temperature": settings.temperature,
        # The model is loaded for training, without.
        "generation_kwargs": {"use_cache": True},
        "reward_weights": [getattr(settings.weights, name) for name in NAMES],
        # They are shuffled already; the sampler would begin anew where a training goes on.
        "shuffle_dataset": False,
    }


def _prompts(job: TrainingJob) -> tuple[list[str], list[str], int]:
    """Returns the distinct prompts to train on, those held out, and how many were too long."""
    settings, dataset = job.config.grpo, job.dataset
    rows: list[Imitate | Prefer | Judge] = [*dataset.imitate, *dataset.prefer, *dataset.judge]
    splits = {row.prompt: row.split for row in rows}
    most = job.config.max_tokens - settings.new_tokens
    kept = {
        prompt: split
        for prompt, split in splits.items()
        if len(job.base.tokenizer(prompt).input_ids) <= most
    }
    train = [prompt for prompt, split in kept.items() if split == "train"]
    random.Random(job.config.seed).shuffle(train)
    taken = job.config.batch * job.config.accumulate * PartialState().num_processes
    if len(train) < taken // settings.group:
        raise DatasetError(
            f"{len(train)} prompts to train on, and an update takes {taken // settings.group} "
            "(batch x accumulate x processes over grpo.group); take a smaller batch, or let "
            "creatives of more briefs be shown"
        )
    return train, [p for p, split in kept.items() if split == "test"], len(splits) - len(kept)


def _ends(tokenizer: Any) -> list[int]:
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    stopping = [n for n, text in enumerate(texts) if any(mark in text for mark in STOP)]
    return [*stopping, tokenizer.eos_token_id]


def _told(job: TrainingJob, rewards: Rewards, prompts: Sequence[str]) -> dict[str, float]:
    """Returns the mean of each reward over texts for these prompts, with one seed each time."""
    if not prompts:
        return {}
    settings, model, tokenizer = job.config.grpo, job.base.model, job.base.tokenizer
    device, ends = next(model.parameters()).device, _ends(tokenizer)
    found: list[list[float]] = []
    model.eval()
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        PartialState().split_between_processes(list(prompts)) as own,
    ):
        for prompt in own:
            torch.manual_seed(job.config.seed)
            read = tokenizer([prompt], return_tensors="pt").to(device)
            with torch.inference_mode():
                ids = model.generate(
                    **read,
                    do_sample=True,
                    temperature=settings.temperature,
                    top_k=0,
                    max_new_tokens=settings.new_tokens,
                    num_return_sequences=DRAWS * settings.group,
                    eos_token_id=ends,
                    pad_token_id=tokenizer.pad_token_id,
                    use_cache=True,
                )[:, read.input_ids.shape[1] :]
            written = [_cut(row, ends) for row in ids.tolist()]
            texts = tokenizer.batch_decode(written, skip_special_tokens=True)
            told = rewards.tell([prompt] * len(texts), texts, written)
            found += [list(each) for each in zip(*(of.tolist() for of in told), strict=True)]
    means = torch.tensor(gather_object(found), dtype=torch.float64).mean(dim=0)
    return dict(zip(NAMES, means.tolist(), strict=True))


def _cut(tokens: Sequence[int], ends: Iterable[int]) -> list[int]:
    """Returns the tokens up to and with the first that ends a text."""
    known = set(ends)
    at = next((k for k, token in enumerate(tokens) if token in known), len(tokens))
    return list(tokens[: at + 1])
