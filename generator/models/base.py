"""Backends: what completes a prompt.

The rest of the generator knows this protocol alone; torch is imported only once a model is
really opened, so that a copyloop without it starts, and says what is missing when asked to write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

SMOLLM2: Final = "smollm2"
"""The name of the model that comes as a package."""

CompletionProgress: TypeAlias = Callable[[float], None]
"""Told what share of a call is done, in (0, 1]."""


class Sampling(NamedTuple):
    """How continuations are drawn, and where they end.

    Attributes:
        stop: characters that end a continuation, at least one.
        max_new_tokens: at least 1.
        temperature: above 0; lower keeps to the likelier.
        top_p: in (0, 1]; draws from the likeliest tokens that make up this mass.
        min_p: in [0, 1); leaves out tokens less likely than this share of the likeliest one.
        presence_penalty: in [-2, 2]; taken from the logits of tokens that the continuation has
            already, so that it says less twice.
    """

    stop: str
    max_new_tokens: int
    temperature: float = 0.6
    top_p: float = 0.9
    min_p: float = 0.0
    presence_penalty: float = 0.0


class Completion(NamedTuple):
    """A continuation, and who wrote it."""

    text: str
    model: str
    adapter: str | None = None


@dataclass
class Usage:
    """What a backend has used since it was opened; `cost` in the currency of its prices."""

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Returns both together."""
        return Usage(**{name: value + getattr(other, name) for name, value in vars(self).items()})


class Backend(Protocol):
    """A language model that continues texts."""

    @property
    def name(self) -> str:
        """What people are told wrote it."""

    @property
    def usage(self) -> Usage:
        """What it has used since it was opened."""

    def complete(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        *,
        seed: int,
        adapter: str | None = None,
        progress: CompletionProgress | None = None,
    ) -> list[Completion]:
        """Returns a continuation of each prompt, drawn anew for prompts that are the same.

        A continuation ends with the first character of `sampling.stop` in it, or with the whole
        of it where the model ended by itself; one with neither was cut off at its limit. The same
        arguments on the same machine give the same continuations.

        Args:
            prompts: any number, of any lengths that the model can read.
            sampling: how to draw, and where to end.
            seed: of the draws, in [0, 2**63).
            adapter: the LoRA adapter to write with, by path, hub id or served name.
            progress: called as the work goes on.

        Raises:
            BackendError: the model or the adapter failed, for want of memory say.
        """


def derived_seed(seed: int, of: object, *, size: int = 8) -> int:
    """Returns a seed of something's own, of so many bytes less a bit: nearby seeds do not meet."""
    digest = hashlib.blake2b(f"{seed}/{of}".encode(), digest_size=size).digest()
    return int.from_bytes(digest, "big") >> 1


def ended(text: str, stop: str, *, by_itself: bool) -> str:
    r"""Returns a continuation as `Backend.complete` promises it.

    >>> ended('Fresh beans" and', '"\n', by_itself=False)
    'Fresh beans"'
    """
    at = min((text.find(mark) for mark in stop if mark in text), default=None)
    if at is not None:
        return text[: at + 1]
    return text + stop if by_itself else text


class Member(NamedTuple):
    """A backend with the adapter it writes with, and its share of the writing, above 0."""

    backend: Backend
    adapter: str | None = None
    share: float = 1.0


class Ensemble:
    """A `Backend` that hands each prompt to one of its members.

    Prompts are dealt in turn, in proportion to the shares, so that a small batch too has some of
    each. An adapter that a call names is used by every member in place of its own.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = tuple(members)
        self.name = " + ".join(
            f"{m.backend.name}@{m.adapter}" if m.adapter else m.backend.name for m in self._members
        )

    @property
    def usage(self) -> Usage:
        """What its members have used, each backend counted once."""
        backends = {id(member.backend): member.backend for member in self._members}
        return sum((backend.usage for backend in backends.values()), Usage())

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
        dealt = deal(len(prompts), [member.share for member in self._members])
        written: dict[int, Completion] = {}
        for number, member in enumerate(self._members):
            own = [row for row, dealt_to in enumerate(dealt) if dealt_to == number]
            if not own:
                continue
            before = len(written)

            def report(share: float, before: int = before, mine: int = len(own)) -> None:
                if progress is not None:
                    progress((before + share * mine) / len(prompts))

            completions = member.backend.complete(
                [prompts[row] for row in own],
                sampling,
                seed=seed,
                adapter=adapter or member.adapter,
                progress=report,
            )
            written.update(zip(own, completions, strict=True))
        return [written[row] for row in range(len(prompts))]


def deal(n: int, shares: Sequence[float]) -> list[int]:
    """Returns who gets each of `n` things: whoever is furthest behind their share, in turn.

    >>> deal(6, [2.0, 1.0])
    [0, 1, 0, 0, 1, 0]
    """
    total = sum(shares)
    given = [0] * len(shares)
    dealt = []
    for turn in range(1, n + 1):
        behind = [share / total * turn - has for share, has in zip(shares, given, strict=True)]
        chosen = behind.index(max(behind))
        given[chosen] += 1
        dealt.append(chosen)
    return dealt
