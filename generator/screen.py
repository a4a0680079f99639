"""The screen between the model and the catalogue: each text gets in, or is told why not.

The gates run in order of what they cost, so the first reason is the cheapest one. A screen is
made for one brief and remembers what it let in: it sees near-duplicates within a batch, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from better_profanity import Profanity

from generator import gates
from generator.brief import Brief
from generator.prompts import EXAMPLES
from generator.topic import Topic

Gate: TypeAlias = Callable[[str], str | None]

STOP: Final = '"\n'
"""What ends a headline: prompts put it in quotes, on one line."""
TOPIC_FLOOR: Final = 0.25
"""Below this closeness texts had nothing to do with the product (read through by hand)."""

PLAIN_WORDS: Final = (
    "breasts cow cowgirl cowgirls dummy enlargement facial fat foobar gay gays god hemp homey "
    "hookah hump jerk kill lesbian lesbians loin loins maxi menses nappy nude oral orally organ "
    "ovary pasty pawn pms pot potty punky queer queers revue rum rump sandbar screw seaman seamen "
    "snatch steamy strip stroke tampon thrust tinkle transsexual undies unwed uterus virgin vodka "
    "woody"
)
"""Taken out of the profanity list, which is an old and broad one: oil may be virgin."""


class Rejection(NamedTuple):
    """Why a text does not get in: a stable code, and words for people."""

    code: str
    words: str

    def __str__(self) -> str:
        return f"{self.code}: {self.words}"


def clean(completion: str) -> tuple[str, bool]:
    r"""Returns the headline in a completion, and whether the model came to its end.

    >>> clean('  Fresh   beans,\tdaily"')
    ('Fresh beans, daily', True)
    >>> clean("Fresh beans for")
    ('Fresh beans for', False)
    """
    ends = [completion.index(mark) for mark in STOP if mark in completion]
    text = completion[: min(ends)] if ends else completion
    return " ".join(text.split()).strip("'‘’“”` "), bool(ends)


class Screen:
    """Judges texts for one brief.

    Args:
        brief: whose constraints hold.
        existing: texts that there are already.
        winners: texts that the model was shown.
    """

    def __init__(
        self, brief: Brief, *, existing: Iterable[str] = (), winners: Iterable[str] = ()
    ) -> None:
        self._taken = list(existing)
        shown = list(winners)
        self._topic = Topic([brief.product, *brief.facts, *brief.keywords, *shown])
        self._profanity = Profanity()
        self._profanity.load_censor_words(whitelist_words=PLAIN_WORDS.split())
        limits = brief.constraints
        self._gates: tuple[tuple[str, Gate], ...] = (
            ("empty", gates.empty),
            ("length", partial(gates.length, max_characters=limits.max_characters)),
            ("fragment", gates.fragment),
            ("leaked", partial(gates.leaked, brief=brief)),
            ("markup", gates.markup),
            ("characters", gates.characters),
            ("never_use", partial(gates.never_use, ruled_out=limits.never_use)),
            ("repeats", gates.repeats),
            ("against", partial(gates.against, brief=brief)),
            ("unfounded", partial(gates.unfounded, brief=brief)),
            ("duplicate", partial(gates.duplicate, others=self._taken)),
            ("copied", partial(gates.copied, shown=[*shown, *EXAMPLES])),
            ("off_topic", self._off_topic),
            ("profanity", self._profane),
        )

    def judge(self, text: str, *, opening: str = "", ended: bool = True) -> Rejection | None:
        """Returns why the text is refused, or None and remembers it as taken.

        `opening` is what the prompt gave of it; `ended` whether the model came to its end.
        """
        if not ended:
            return Rejection("cut_off", "the model had not come to the end of the line")
        if opening and gates.words(text) == gates.words(opening):
            return Rejection("fragment", "the model added nothing to the opening")
        for code, gate in self._gates:
            why = gate(text)
            if why is not None:
                return Rejection(code, why)
        self._taken.append(text)
        return None

    def _off_topic(self, text: str) -> str | None:
        closeness = self._topic.closeness(text)
        if closeness >= TOPIC_FLOOR:
            return None
        return f"closeness to the product is {closeness:.2f}; at least {TOPIC_FLOOR}"

    def _profane(self, text: str) -> str | None:
        if self._profanity.contains_profanity(text):
            return f"shown as {self._profanity.censor(text)!r}"
        return None
