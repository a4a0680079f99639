"""What a model writes for briefs alone, and what the screen says of each text by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct
from msgspec.structs import replace

from generator.brief.prompts import plain_prompt
from generator.brief.schema import Brief
from generator.models.base import Backend, Sampling, derived_seed
from generator.screening.screen import STOP, Screen, Written, clean, harmful, singly
from generator.screening.settings import Thresholds, usual
from generator.writing.texts import TAUGHT, Style


class SamplingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the texts are drawn that a version is judged by; the champion's are drawn likewise.

    `samples` is how many a brief, at most `most_new_tokens` long each.
    """

    samples: Annotated[int, Meta(ge=1, le=10_000)] = 32
    seed: Annotated[int, Meta(ge=0, lt=2**62)] = 1
    temperature: Annotated[float, Meta(gt=0)] = TAUGHT.temperature
    top_p: Annotated[float, Meta(gt=0, le=1)] = TAUGHT.top_p
    min_p: Annotated[float, Meta(ge=0, lt=1)] = TAUGHT.min_p
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] = TAUGHT.presence_penalty
    most_new_tokens: Annotated[int, Meta(ge=1)] = 20


class Sampler(NamedTuple):
    """Who writes: a model, with the folder of an adapter or bare."""

    backend: Backend
    adapter: str | None = None


class Samples(NamedTuple):
    """Texts for each brief, and for each of them the code of the gate that refused it, or None.

    `harm` counts those with a hit in a gate of harm, even where another gate refused them first.
    """

    texts: list[list[str]]
    refused: list[list[str | None]]
    harm: int

    @property
    def n(self) -> int:
        """How many texts there are."""
        return sum(map(len, self.texts))

    @property
    def passed(self) -> list[list[str]]:
        """The texts that no gate refused, brief by brief."""
        return [
            [text for text, code in zip(texts, codes, strict=True) if code is None]
            for texts, codes in zip(self.texts, self.refused, strict=True)
        ]

    @property
    def distinct(self) -> float:
        """The share of texts that no other text of their brief is equal to, but for the first."""
        return sum(len({text.casefold() for text in texts}) for texts in self.texts) / self.n


def take_samples(
    sampler: Sampler,
    briefs: Sequence[Brief],
    config: SamplingConfig,
    thresholds: Thresholds | None = None,
) -> Samples:
    """Returns what the sampler makes of each brief, alone and without examples.

    The same sampler and settings give the same texts on the same machine.

    Raises:
        BackendError: the model failed.
    """
    limits = thresholds or usual()
    # The screen of the loop refuses what is like others, which is another rule's.
    single, unskipped = singly(limits), replace(limits, skip=())
    every, refused, harm = [], [], 0
    for brief in briefs:
        written = _written(sampler, brief, config)
        verdicts = Screen(brief, thresholds=single, reader=sampler.backend).judge(written)
        every.append([each.text for each in written])
        refused.append([v.rejection.code if v.rejection else None for v in verdicts])
        harm += sum(harmful(brief, every[-1], unskipped))
    return Samples(every, refused, harm)


def _written(sampler: Sampler, brief: Brief, config: SamplingConfig) -> list[Written]:
    prompt = plain_prompt(brief)
    style = Style(config.temperature, config.top_p, config.min_p, config.presence_penalty)
    completions = sampler.backend.complete(
        [prompt] * config.samples,
        Sampling(STOP, config.most_new_tokens, *style),
        # Of the brief's own, so that one more brief changes nothing about the others.
        seed=derived_seed(config.seed, prompt),
        adapter=sampler.adapter,
    )
    cleaned = [clean(completion.text) for completion in completions]
    return [Written(text, ended=ended) for text, ended in cleaned]
