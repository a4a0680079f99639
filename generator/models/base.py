"""Backends: what completes a prompt.

The rest of the generator knows this protocol alone; torch is imported only once a model is
really opened, so that a copyloop without it starts, and says what is missing when asked to write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

SMOLLM2: Final = "smollm2"
"""The name of the model that comes as a package."""

SHAPE: Final = "adapter_config.json"
"""What peft calls the file in an adapter's folder that says its shape."""

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
    """A continuation, and who wrote it.

    Attributes:
        text: what continues the prompt.
        model: the name of the model.
        adapter: that it was written with.
        whole: whether it is the whole text, and continues nothing.
        withheld: why there is no text, as a code; None where there is one.
    """

    text: str
    model: str
    adapter: str | None = None
    whole: bool = False
    withheld: str | None = None


class Task(Struct, frozen=True, kw_only=True):
    """What a model that can be told is asked for: whole texts, all of one kind.

    Attributes:
        about: all that the texts are to keep to, in words.
        one: how one text is asked for.
        several: how several are; `{n}` stands for how many.
        avoid: how texts are introduced that are there already.
        taken: those texts.
    """

    about: str
    one: str
    several: str
    avoid: str = ""
    taken: tuple[str, ...] = ()

    def words(self, n: int) -> str:
        """Returns the whole message that asks for `n` texts."""
        asked = self.one if n == 1 else self.several.replace("{n}", str(n))
        avoid = [self.avoid, *(f"- {text}" for text in self.taken)] if self.taken else []
        return "\n".join([self.about, *avoid, "", asked])


class ToldPrompt(str):
    """The beginning of a text, and the task that asks for the whole of it.

    A model that continues texts reads the beginning; one that converses is told the task.
    """

    task: Task

    def __new__(cls, beginning: str, task: Task) -> ToldPrompt:
        """Returns the beginning with its task."""
        made = super().__new__(cls, beginning)
        made.task = task
        return made


@dataclass
class Usage:
    """What a backend has used since it was opened; `cost` in the currency of its prices.

    `uncounted` answers came without a number of tokens, so those of the others are all there is.
    """

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    uncounted: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Returns both together."""
        return Usage(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def __sub__(self, other: Usage) -> Usage:
        """Returns what was used since."""
        return Usage(**{name: value - getattr(other, name) for name, value in vars(self).items()})

    def words(self) -> str:
        """Returns it in one line.

        >>> Usage(requests=3, retries=1, prompt_tokens=1200, completion_tokens=80).words()
        '1,200 tokens read, 80 written, 1 of 3 requests repeated'
        """
        said = [f"{self.prompt_tokens:,} tokens read", f"{self.completion_tokens:,} written"]
        if self.retries:
            said.append(f"{self.retries} of {self.requests} requests repeated")
        if self.uncounted:
            said.append(f"{self.uncounted} answers without a count of tokens")
        if self.cost:
            said.append(f"cost {self.cost:.4f}")
        return ", ".join(said)


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
        of it where the model ended by itself; one with neither was cut off at its limit. A prompt
        that is a `ToldPrompt` may be answered with a whole text instead. The same arguments on the
        same machine give the same continuations.

        Args:
            prompts: any number, of any lengths that the model can read.
            sampling: how to draw, and where to end.
            seed: of the draws, in [0, 2**63).
            adapter: the LoRA adapter to write with, by path, hub id or served name.
            progress: called as the work goes on.

        Raises:
            BackendError: the model or the adapter failed, for want of memory say.
        """


@runtime_checkable
class LoadsAdapters(Protocol):
    """A backend whose server has to be told of an adapter before it is asked for by name."""

    def load_adapter(self, name: str, path: str) -> None:
        """Has the server load the adapter; raises `BackendError` if it refuses."""


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
        self._folders: dict[str, str] = {}
        self.name = " + ".join(
            f"{m.backend.name}@{m.adapter}" if m.adapter else m.backend.name for m in self._members
        )

    @property
    def usage(self) -> Usage:
        """What its members have used, each backend counted once."""
        backends = {id(member.backend): member.backend for member in self._members}
        return sum((backend.usage for backend in backends.values()), Usage())

    def load_adapter(self, name: str, path: str) -> None:
        """Has the members' servers load an adapter; the other members write with its folder.

        Raises:
            BackendError: a server refused.
        """
        for backend in {id(member.backend): member.backend for member in self._members}.values():
            if isinstance(backend, LoadsAdapters):
                backend.load_adapter(name, path)
        self._folders[name] = path

    def _known_to(self, backend: Backend, adapter: str | None) -> str | None:
        """Returns what a member calls an adapter."""
        if adapter is None or isinstance(backend, LoadsAdapters):
            return adapter
        return self._folders.get(adapter, adapter)

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
                adapter=self._known_to(member.backend, adapter) or member.adapter,
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
