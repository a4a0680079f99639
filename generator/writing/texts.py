"""From a brief to screened texts of one kind: for a request, or as samples of what a model writes.

Knows no log and no channel's whole: `creatives.py` puts texts together to what is shown.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Final, NamedTuple, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import replace

from generator.brief.channels import Asset, Counting
from generator.brief.instructions import Wanted, task_of
from generator.brief.prompts import Prompt, TextForm, plain_prompt, plain_prompts, prompts
from generator.brief.schema import Brief
from generator.models.base import Backend, Completion, Sampling, ToldPrompt, derived_seed
from generator.screening.gates.likeness import vectors_of
from generator.screening.gates.similarity import by_difference
from generator.screening.screen import (
    OUTRANKED,
    STOP,
    CandidateText,
    Rejection,
    Screen,
    clean,
    harmful,
    singly,
)
from generator.screening.settings import Thresholds, usual

PROMPTS_PER_BATCH: Final = 16
MAX_REPEATS: Final = 4
"""How often a batch continues the same prompt; more would mostly write the same again."""
CANDIDATES_PER_TEXT: Final = 8
STALE_ROUNDS: Final = 3
"""After so many rounds in a row without a text that is new, a model writes nothing else."""
AVOIDED: Final = 40
"""How many of the texts that are there a model that converses is told of, the latest ones."""
WITHHELD: Final = {
    "content_filter": "a content filter of the server's held the text back",
    "refusal": "the model refused to write it",
    "truncated": "the answer came to its limit of tokens before there was a text",
    "no_answer": "the server did not answer with a text",
}
"""Why a server gave no text, in words, by code."""
LATIN_SCRIPT: Final = frozenset(
    "cs da de es fi fr hu id it nb nl pl pt ro sv tr vi".split()  # noqa: SIM905
)

Rank: TypeAlias = Callable[[Sequence[str]], Sequence[int]]
"""Puts texts that passed the screen in order, the most promising first: their places."""
TextProgress: TypeAlias = Callable[[int, float], None]
"""Told how many texts were accepted, and what share of the budget is spent, in [0, 1]."""


class Piece(NamedTuple):
    """What kind of text is wanted: its name, form and length, and how that is counted."""

    name: str
    form: TextForm
    max_units: int
    counting: Counting = "characters"

    @classmethod
    def headline(cls, brief: Brief) -> Piece:
        """Returns the headline that a brief without a channel asks for."""
        return cls("headline", "line", brief.constraints.max_characters)

    @classmethod
    def of(cls, asset: Asset, counting: Counting) -> Piece:
        """Returns what is written for a channel's asset."""
        form: TextForm = "sentence" if asset.form == "sentence" else "line"
        return cls(asset.name, form, asset.max_units, counting)


class Style(NamedTuple):
    """How freely the model writes (see `Sampling`)."""

    temperature: float = 0.6
    top_p: float = 0.9
    min_p: float = 0.0
    presence_penalty: float = 0.0


USUAL: Final = Style()
TAUGHT: Final = Style(temperature=0.8, presence_penalty=2.0)
"""How a model writes that was taught, and how it is judged before."""


def different_first(texts: Sequence[str]) -> Sequence[int]:
    """Ranks texts by how little each says that those before it say: nothing is known of reward.

    >>> different_first(["Warm bread", "Warm bread today", "A calm dentist"])
    [0, 2, 1]
    """
    return by_difference(vectors_of(texts))


class TextSelection(NamedTuple):
    """How what is kept is selected from what is written.

    Attributes:
        over: how many texts pass the screen for each that is wanted, at least 1; the best stay.
        rank: which are the best.
        thresholds: of the screen, None for the usual ones.
    """

    over: float = 1.0
    rank: Rank = different_first
    thresholds: Thresholds | None = None


AS_THEY_COME: Final = TextSelection()


class WrittenText(NamedTuple):
    """A text that a model wrote, where it came from, and why it was refused if it was.

    `scores` are what the gates measured that saw it.
    """

    text: str
    piece: Piece
    prompt: Prompt
    model: str
    adapter: str | None
    rejection: Rejection | None
    scores: Mapping[str, float] = MappingProxyType({})


class GenerationResult(NamedTuple):
    """The candidates of a generation, each list in the order in which they were judged.

    `repeated` says that the model was asked no more, as it wrote nothing new.
    """

    accepted: list[WrittenText]
    rejected: list[WrittenText]
    repeated: bool = False


def summary(accepted: int, rejected: Sequence[WrittenText]) -> str:
    """Returns how many texts were accepted, and how often each gate refused."""
    codes = Counter(c.rejection.code for c in rejected if c.rejection)
    reasons = ", ".join(f"{code} {count}" for code, count in codes.most_common())
    total = accepted + len(rejected)
    return f"{accepted} of {total} accepted; refused: {reasons or 'none'}"


def generate(
    brief: Brief,
    backend: Backend,
    *,
    n: int,
    seed: int,
    piece: Piece | None = None,
    style: Style = USUAL,
    existing: Iterable[str] = (),
    winners: Sequence[str] = (),
    adapter: str | None = None,
    plain: bool = False,
    selection: TextSelection = AS_THEY_COME,
    progress: TextProgress | None = None,
    stop: threading.Event | None = None,
) -> GenerationResult:
    """Returns up to `n` texts that pass the screen, and those that did not on the way.

    Candidates are written in batches until enough passed, or 8 for each that was asked for are
    written, or nothing new came in three batches in a row, or `stop` is set. Where more passed
    than are wanted, the best ranked stay. The same arguments give the same result on the same
    machine.

    Args:
        brief: what to write about.
        backend: what writes.
        n: how many to accept, at least 1.
        seed: of the prompts' order and the model's draws.
        piece: what to write; None for the brief's headline.
        style: how freely to draw.
        existing: texts that a new one must differ from.
        winners: texts of this kind that did well, to show and to vary.
        adapter: the LoRA adapter to write with.
        plain: shows the model the brief alone, as it was taught; no examples, no openings.
        selection: how many more to write than are wanted, and which of them stay.
        progress: called as the work goes on.
        stop: ends the work after the batch at hand.

    Raises:
        BackendError: the model failed.
    """
    piece = piece or Piece.headline(brief)
    limits = replace(brief.constraints, max_characters=piece.max_units)
    existing = tuple(existing)
    screen = Screen(
        replace(brief, constraints=limits),
        counting=piece.counting,
        existing=existing,
        winners=winners,
        thresholds=selection.thresholds,
        reader=backend,
    )
    source = (
        plain_prompts(brief, form=piece.form)
        if plain
        else prompts(
            brief, seed=seed, winners=winners, form=piece.form, max_characters=piece.max_units
        )
    )
    sampling = Sampling(STOP, _most_tokens(piece.max_units, brief.language), *style)
    result = GenerationResult([], [])
    enough = math.ceil(n * selection.over)
    budget = max(CANDIDATES_PER_TEXT * n, PROMPTS_PER_BATCH)
    written = stale = 0
    seen: set[str] = set()
    batch: list[Prompt] = []

    def report(share_of_batch: float) -> None:
        if progress is not None:
            spent = (written + share_of_batch * len(batch)) / budget
            progress(min(len(result.accepted), n), min(spent, 1.0))

    def goes_on() -> bool:
        missing = len(result.accepted) < enough and written < budget
        return missing and stale < STALE_ROUNDS and not (stop and stop.is_set())

    while goes_on():
        # Up to half are refused, so some two prompts for each text that is missing.
        missing = enough - len(result.accepted)
        most = 1 if stale else MAX_REPEATS
        repeats = min(max(2 * missing // PROMPTS_PER_BATCH, 1), most)
        taken = (*existing, *(candidate.text for candidate in result.accepted))[-AVOIDED:]
        some = itertools.islice(source, PROMPTS_PER_BATCH)
        batch = [_told(prompt, brief, piece, taken) for prompt in some] * repeats
        completions = backend.complete(
            [prompt.text for prompt in batch],
            sampling,
            seed=derived_seed(seed, written),
            adapter=adapter,
            progress=report,
        )
        before = len(seen)
        for candidate in _judged(batch, completions, piece, screen):
            seen.add(candidate.text.casefold())
            if len(result.accepted) < enough:
                judged = result.accepted if candidate.rejection is None else result.rejected
                judged.append(candidate)
        written += len(batch)
        stale = 0 if len(seen) > before else stale + 1
    report(0.0)
    return _selected(result, n, selection.rank)._replace(repeated=stale >= STALE_ROUNDS)


def _most_tokens(max_units: int, language: str) -> int:
    """Returns how many tokens a text may take; a longer one is too long anyway.

    English has about four characters to a token. Other languages of Latin letters have two, and a
    character of another script takes up to three where the model knows few of its words.
    """
    if language == "en":
        return max_units // 4 + 1
    return max_units // 2 + 2 if language in LATIN_SCRIPT else 3 * max_units + 1


def _told(prompt: Prompt, brief: Brief, piece: Piece, taken: tuple[str, ...] = ()) -> Prompt:
    """Returns the prompt with the task that a model is told which converses."""
    wanted = Wanted(piece.form, piece.max_units, piece.counting, prompt.segment, prompt.winner)
    return prompt._replace(text=ToldPrompt(prompt.text, task_of(brief, wanted, taken=taken)))


def _candidate(prompt: Prompt, completion: Completion) -> CandidateText:
    """Returns the text that came of a prompt: what continues its opening, or a whole text."""
    if completion.whole:
        # A quotation mark inside does not end it.
        text = completion.text
        return CandidateText(text if STOP[0] in text else clean(text + STOP)[0])
    text, ended = clean(prompt.opening + completion.text)
    return CandidateText(text, prompt.opening, ended)


def _judged(
    batch: Sequence[Prompt], completions: Sequence[Completion], piece: Piece, screen: Screen
) -> Iterator[WrittenText]:
    pairs = list(zip(batch, completions, strict=True))
    candidates = [_candidate(prompt, c) for prompt, c in pairs if c.withheld is None]
    judged = zip(candidates, screen.judge(candidates), strict=True)
    for prompt, completion in pairs:
        model, adapter = completion.model, completion.adapter
        if completion.withheld is not None:
            why = Rejection(completion.withheld, WITHHELD[completion.withheld])
            yield WrittenText("", piece, prompt, model, adapter, why)
            continue
        if completion.whole:  # no frame opened it
            prompt = prompt._replace(opening="", frame="winner" if prompt.winner else "instruction")
        candidate, verdict = next(judged)
        # Of gates that found nothing to measure the scores say nothing.
        scores = {code: score for code, score in verdict.scores.items() if score}
        yield WrittenText(candidate.text, piece, prompt, model, adapter, verdict.rejection, scores)


def _selected(result: GenerationResult, n: int, rank: Rank) -> GenerationResult:
    """Keeps the `n` best of those that passed, in order of rank; the others are told so."""
    passed = result.accepted
    if len(passed) <= n:
        return result
    ranked = [passed[place] for place in rank([candidate.text for candidate in passed])]
    reason = f"passed every gate, but {n} of {len(passed)} were wanted and it ranks"
    outranked = [
        candidate._replace(rejection=Rejection(OUTRANKED, f"{reason} {number}"))
        for number, candidate in enumerate(ranked[n:], n + 1)
    ]
    return GenerationResult(ranked[:n], [*result.rejected, *outranked])


class SamplingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the texts are drawn that a version is judged by; the champion's are drawn likewise.

    `samples` is how many a brief, at most `most_new_tokens` long each, or longer where the script
    of a brief's language takes more tokens than English does.
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


def _tokens_of_sample(brief: Brief, config: SamplingConfig) -> int:
    """Returns how many tokens a sample may take: what is asked for, or what its script needs."""
    if brief.language == "en":
        return config.most_new_tokens
    needed = _most_tokens(brief.constraints.max_characters, brief.language)
    return max(config.most_new_tokens, needed)


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
    style = Style(config.temperature, config.top_p, config.min_p, config.presence_penalty)
    every, refused, harm = [], [], 0
    for brief in briefs:
        prompt = plain_prompt(brief)
        sampling = Sampling(STOP, _tokens_of_sample(brief, config), *style)
        told = _told(Prompt(prompt, "", "plain"), brief, Piece.headline(brief))
        completions = sampler.backend.complete(
            [told.text] * config.samples,
            sampling,
            # Of the brief's own, so that one more brief changes nothing about the others.
            seed=derived_seed(config.seed, prompt),
            adapter=sampler.adapter,
        )
        written = [_candidate(told, completion) for completion in completions]
        verdicts = Screen(brief, thresholds=single, reader=sampler.backend).judge(written)
        every.append([each.text for each in written])
        refused.append([v.rejection.code if v.rejection else None for v in verdicts])
        harm += sum(harmful(brief, every[-1], unskipped))
    return Samples(every, refused, harm)
