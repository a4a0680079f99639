"""From a brief to screened texts of one kind: prompts, a backend and the screen, put together.

Knows no log and no channel's whole: `creatives.py` puts texts together to what is shown.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from generator.backends import Backend, Completion, Sampling
from generator.brief import Brief
from generator.channels import Asset, Counting, units
from generator.prompts import Form, Prompt, prompts
from generator.screen import STOP, Rejection, Screen, clean

PROMPTS_PER_BATCH: Final = 16
MAX_REPEATS: Final = 4
"""How often a batch continues the same prompt; more would mostly write the same again."""
CANDIDATES_PER_TEXT: Final = 8

Progress: TypeAlias = Callable[[int, float], None]
"""Told how many texts were accepted, and what share of the budget is spent, in [0, 1]."""


class Piece(NamedTuple):
    """What kind of text is wanted: its name, form and length, and how that is counted."""

    name: str
    form: Form
    max_units: int
    counting: Counting = "characters"

    @classmethod
    def headline(cls, brief: Brief) -> Piece:
        """Returns the headline that a brief without a channel asks for."""
        return cls("headline", "line", brief.constraints.max_characters)

    @classmethod
    def of(cls, asset: Asset, counting: Counting) -> Piece:
        """Returns what is written for a channel's asset."""
        form: Form = "sentence" if asset.form == "sentence" else "line"
        return cls(asset.name, form, asset.max_units, counting)


class Style(NamedTuple):
    """How freely the model writes (see `Sampling`)."""

    temperature: float = 0.6
    top_p: float = 0.9
    min_p: float = 0.0


USUAL: Final = Style()


class Candidate(NamedTuple):
    """A text that a model wrote, where it came from, and why it was refused if it was."""

    text: str
    piece: Piece
    prompt: Prompt
    model: str
    adapter: str | None
    rejection: Rejection | None


class GenerationResult(NamedTuple):
    """The candidates of a generation, each list in the order in which they were judged."""

    accepted: list[Candidate]
    rejected: list[Candidate]

    def summary(self) -> str:
        """Returns how many were accepted, and how often each gate refused."""
        return summary(len(self.accepted), self.rejected)


def summary(accepted: int, rejected: Sequence[Candidate]) -> str:
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
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> GenerationResult:
    """Returns up to `n` texts that pass the screen, and those that did not on the way.

    Candidates are written in batches until there are enough, or 8 for each that was asked for,
    or `stop` is set. The same arguments give the same result on the same machine.

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
        progress: called as the work goes on.
        stop: ends the work after the batch at hand.

    Raises:
        BackendError: the model failed.
    """
    piece = piece or Piece.headline(brief)
    limits = replace(brief.constraints, max_characters=piece.max_units)
    screen = Screen(replace(brief, constraints=limits), existing=existing, winners=winners)
    source = prompts(
        brief, seed=seed, winners=winners, form=piece.form, max_characters=piece.max_units
    )
    sampling = Sampling(STOP, _max_new_tokens(piece), *style)
    result = GenerationResult([], [])
    budget = max(CANDIDATES_PER_TEXT * n, PROMPTS_PER_BATCH)
    written = 0
    batch: list[Prompt] = []

    def report(share_of_batch: float) -> None:
        if progress is not None:
            spent = (written + share_of_batch * len(batch)) / budget
            progress(len(result.accepted), min(spent, 1.0))

    while len(result.accepted) < n and written < budget and not (stop and stop.is_set()):
        batch = _batch(source, n - len(result.accepted))
        completions = backend.complete(
            [prompt.text for prompt in batch],
            sampling,
            seed=_derived_seed(seed, written),
            adapter=adapter,
            progress=report,
        )
        for prompt, completion in zip(batch, completions, strict=True):
            if len(result.accepted) < n:
                candidate = _judged(prompt, completion, piece, screen)
                judged = result.accepted if candidate.rejection is None else result.rejected
                judged.append(candidate)
        written += len(batch)
    report(0.0)
    return result


def _batch(source: Iterator[Prompt], missing: int) -> list[Prompt]:
    """Returns some two prompts for each text that is missing: up to half are refused."""
    repeats = min(max(2 * missing // PROMPTS_PER_BATCH, 1), MAX_REPEATS)
    return list(itertools.islice(source, PROMPTS_PER_BATCH)) * repeats


def _judged(prompt: Prompt, completion: Completion, piece: Piece, screen: Screen) -> Candidate:
    text, ended = clean(prompt.opening + completion.text)
    length = units(text, piece.counting)
    if length > max(piece.max_units, len(text)):
        # Wide characters, which the screen's own gate of length counts as one.
        words = f"{length} units as the channel counts; at most {piece.max_units}"
        rejection: Rejection | None = Rejection("length", words)
    else:
        rejection = screen.judge(text, opening=prompt.opening, ended=ended)
    return Candidate(text, piece, prompt, completion.model, completion.adapter, rejection)


def _max_new_tokens(piece: Piece) -> int:
    # English has about four characters to a token; whoever needs more is too long anyway.
    return piece.max_units // 4 + 1


def _derived_seed(seed: int, written: int) -> int:
    """Returns a seed of a batch's own: those of nearby seeds must not meet."""
    digest = hashlib.blake2b(f"{seed}/{written}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
