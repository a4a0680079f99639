"""From a brief to screened headlines: prompts, a backend and the screen, put together.

Knows no log: the command line and the worker both call `generate`, and each does with the result
what it is for.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from generator.backends import Backend
from generator.brief import Brief
from generator.prompts import Prompt, prompts
from generator.screen import STOP, Rejection, Screen, clean

TEMPERATURE: Final = 0.6
TOP_P: Final = 0.9
PROMPTS_PER_BATCH: Final = 16
MAX_REPEATS: Final = 4
"""How often a batch continues the same prompt; more would mostly write the same again."""
CANDIDATES_PER_HEADLINE: Final = 8

Progress: TypeAlias = Callable[[int, float], None]
"""Told how many headlines were accepted, and what share of the budget is spent, in [0, 1]."""


class Candidate(NamedTuple):
    """A headline that the model wrote, where it came from, and why it was refused if it was."""

    text: str
    prompt: str
    rejection: Rejection | None


class GenerationResult(NamedTuple):
    """The candidates of a generation, each list in the order in which they were judged."""

    accepted: list[Candidate]
    rejected: list[Candidate]

    def summary(self) -> str:
        """Returns how many were accepted, and how often each gate refused."""
        codes = Counter(c.rejection.code for c in self.rejected if c.rejection)
        reasons = ", ".join(f"{code} {count}" for code, count in codes.most_common())
        total = len(self.accepted) + len(self.rejected)
        return f"{len(self.accepted)} of {total} accepted; refused: {reasons or 'none'}"


def generate(
    brief: Brief,
    backend: Backend,
    *,
    n: int,
    seed: int,
    existing: Iterable[str] = (),
    winners: Sequence[str] = (),
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> GenerationResult:
    """Returns up to `n` headlines that pass the screen, and those that did not on the way.

    Candidates are written in batches until there are enough, or 8 for each that was asked for,
    or `stop` is set. The same arguments give the same result on the same machine.

    Args:
        brief: what to write about.
        backend: what writes.
        n: how many to accept, at least 1.
        seed: of the prompts' order and the model's draws.
        existing: texts that a new one must differ from.
        winners: texts that did well, to show and to vary.
        progress: called as the work goes on.
        stop: ends the work after the batch at hand.

    Raises:
        BackendError: the model failed.
    """
    screen = Screen(brief, existing=existing, winners=winners)
    source = prompts(brief, seed=seed, winners=winners)
    result = GenerationResult([], [])
    budget = max(CANDIDATES_PER_HEADLINE * n, PROMPTS_PER_BATCH)
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
            seed=_derived_seed(seed, written),
            stop=STOP,
            max_new_tokens=_max_new_tokens(brief),
            temperature=TEMPERATURE,
            top_p=TOP_P,
            progress=report,
        )
        _judge(batch, completions, screen, n, result)
        written += len(batch)
    report(0.0)
    return result


def _batch(source: Iterator[Prompt], missing: int) -> list[Prompt]:
    """Returns some two prompts for each headline that is missing: up to half are refused."""
    repeats = min(max(2 * missing // PROMPTS_PER_BATCH, 1), MAX_REPEATS)
    return list(itertools.islice(source, PROMPTS_PER_BATCH)) * repeats


def _judge(
    batch: Sequence[Prompt],
    completions: Sequence[str],
    screen: Screen,
    n: int,
    result: GenerationResult,
) -> None:
    """Adds each candidate to the result, up to the `n`-th that is accepted."""
    for prompt, completion in zip(batch, completions, strict=True):
        if len(result.accepted) == n:
            return
        text, ended = clean(prompt.opening + completion)
        rejection = screen.judge(text, opening=prompt.opening, ended=ended)
        judged = result.accepted if rejection is None else result.rejected
        judged.append(Candidate(text, prompt.label, rejection))


def _max_new_tokens(brief: Brief) -> int:
    # English has about four characters to a token; whoever needs more is too long anyway.
    return brief.constraints.max_characters // 4 + 1


def _derived_seed(seed: int, written: int) -> int:
    """Returns a seed of a batch's own: those of nearby seeds must not meet."""
    digest = hashlib.blake2b(f"{seed}/{written}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
