"""Several models or adapters, whose texts are pooled; each text says who wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from generator.models.base import Backend, Completion, Progress, Sampling, Usage


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
        self.name = " + ".join(_label(member) for member in self._members)

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
        progress: Progress | None = None,
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


def _label(member: Member) -> str:
    return f"{member.backend.name}@{member.adapter}" if member.adapter else member.backend.name
