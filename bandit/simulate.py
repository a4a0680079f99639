"""A simulated audience whose taste is known, for tests and demonstrations.

Visitors, clicks and conversions are made up from a seed, so that what a policy or a generator
achieves can be held against the truth, which neither of them ever sees.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from itertools import product
from statistics import NormalDist
from typing import Final, NamedTuple

from bandit.policy import Pmf
from streams.events import Context

DEVICES: Final = {"mobile": 0.6, "desktop": 0.4}
DAYPARTS: Final = {"morning": 0.45, "evening": 0.55}
"""The share of visits from each device and in each part of the day, independently."""

THEMES: Final = {
    "saving": "affordable bargain cheap deal discount free less off price sale save saving worth",
    "novelty": "discover first fresh introducing just launch meet new next reinvented upgrade",
    "ease": "comfort comfortable cozy easily easy effortless gentle light quick relax simple soft",
    "quality": "best built crafted finest handmade luxury perfect premium proven quality strong",
    "nature": "clean earth eco garden green natural nature organic outdoor planet pure sustainable",
    "urgency": "before ends fast hurry instant last limited minute now only soon today tonight",
    "feeling": "adventure beautiful dream enjoy feel fun happy heart joy love smile wonderful",
    "address": "you your yours yourself",
}
_LEXICON: Final = {word: theme for theme, words in THEMES.items() for word in words.split()}
_WORD: Final = re.compile(r"[a-z']+")
_STANDARD_NORMAL: Final = NormalDist()


class Visitor(NamedTuple):
    """One visit: its number, and what can be known of it beforehand."""

    number: int
    context: Context


class Response(NamedTuple):
    """What a visitor did.

    Delays are seconds since the creative was shown; `value` is what the conversion was worth.
    All are 0 where there was no click, or no conversion.
    """

    click: bool
    delay_seconds: float
    conversion: bool
    conversion_delay_seconds: float
    value: float


class Best(NamedTuple):
    """The text with the highest true click rate over the whole audience."""

    text: str
    click_rate: float


class TasteWorld:
    """A simulated audience with a hidden taste for headlines; the seed decides everything.

    A text is liked for its make (a question, a figure, its length), its themes and its words.
    What is liked differs by device and part of the day, and is partly the opposite: the context
    tells both, so a policy that reads it can do better than the best single text. Rates lie
    between `base_rate` times exp(-2 spread) and exp(2 spread); with the defaults the best of a
    dozen different headlines has about twice the mean.

    Args:
        seed: the world; the same seed is the same audience, visit by visit.
        base_rate: click rate of a text that is neither liked nor disliked, in (0, 1).
        spread: standard deviation, roughly, of the log click rate over headlines.
        conversion_rate: share of clicks that convert, in [0, 1].
        click_delay_seconds: median time from showing to click; Weibull with a long tail.
        conversion_delay_seconds: median time from click to conversion, likewise.

    >>> world = TasteWorld(seed=1)
    >>> world.visitor(0).context == TasteWorld(seed=1).visitor(0).context
    True
    >>> 0.0 < world.click_rate(world.visitor(0).context, "Ready for a softer night?") < 0.2
    True
    """

    def __init__(
        self,
        seed: int,
        *,
        base_rate: float = 0.045,
        spread: float = 0.65,
        conversion_rate: float = 0.15,
        click_delay_seconds: float = 8.0,
        conversion_delay_seconds: float = 60.0,
    ) -> None:
        if not 0.0 < base_rate * math.exp(2.0 * spread) <= 1.0:
            raise ValueError(
                f"base_rate {base_rate} with spread {spread} gives click rates above 1 or not"
                " above 0; lower one of them"
            )
        self.seed = seed
        self.base_rate = base_rate
        self.spread = spread
        self.conversion_rate = conversion_rate
        self.click_delay_seconds = click_delay_seconds
        self.conversion_delay_seconds = conversion_delay_seconds
        self._appeal: dict[tuple[str, str, str], float] = {}

    def visitor(self, number: int) -> Visitor:
        """Returns visit `number`, with its device and part of the day as context."""
        device = "mobile" if self._uniform("device", number) < DEVICES["mobile"] else "desktop"
        early = self._uniform("daypart", number) < DAYPARTS["morning"]
        return Visitor(number, _context(device, "morning" if early else "evening"))

    def respond(self, visitor: Visitor, text: str) -> Response:
        """Returns what the visitor does when shown `text`.

        A visitor has one hidden threshold, and clicks on every text whose rate is above it:
        asked about any text, in any order, by any policy, the same visitor answers the same.
        """
        number = visitor.number
        if self._uniform("click", number) >= self.click_rate(visitor.context, text):
            return Response(False, 0.0, False, 0.0, 0.0)
        delay = self.click_delay_seconds * self._weibull("delay", number)
        if self._uniform("conversion", number) >= self.conversion_rate:
            return Response(True, delay, False, 0.0, 0.0)
        later = self.conversion_delay_seconds * self._weibull("conversion_delay", number)
        value = round(30.0 * math.exp(0.5 * self._normal("value", number)), 2)
        return Response(True, delay, True, delay + later, value)

    def click_rate(self, context: Context, text: str) -> float:
        """Returns the true chance that such a visitor clicks on `text`, in (0, 1).

        Args:
            context: as a `Visitor` has it; what else it holds is not read.
            text: the headline.
        """
        segment = json.loads(bytes(context))
        key = (segment["device"], segment["daypart"], text)
        if key not in self._appeal:
            # a soft bound: piling up everything that is liked must not win without end
            self._appeal[key] = 2.0 * math.tanh(self._liking(*key) / 2.0)
        return self.base_rate * math.exp(self.spread * self._appeal[key])

    def audience(self) -> list[tuple[Context, float]]:
        """Returns every segment's context with its share of visits; the shares sum to 1."""
        cells = product(DEVICES.items(), DAYPARTS.items())
        return [(_context(device, part), a * b) for (device, a), (part, b) in cells]

    def best(self, texts: Sequence[str]) -> Best:
        """Returns the text that the whole audience clicks on most."""
        return max((Best(text, self.expected_ctr([text])) for text in texts), key=lambda b: b[1])

    def expected_ctr(
        self, texts: Sequence[str], pmf: Callable[[Context], Pmf | Sequence[float]] | None = None
    ) -> float:
        """Returns the true click rate of choosing among `texts` by `pmf`, over the audience.

        Args:
            texts: what can be shown.
            pmf: from a context to the probability of each text, shape (n_texts,), such as a
                policy's; None is the uniform pmf.
        """
        total = 0.0
        for context, share in self.audience():
            rates = [self.click_rate(context, text) for text in texts]
            weights = pmf(context) if pmf else [1.0 / len(texts)] * len(texts)
            total += share * sum(float(w) * r for w, r in zip(weights, rates, strict=True))
        return total

    def best_ctr(self, texts: Sequence[str]) -> float:
        """Returns the true click rate of showing each segment what it likes best."""
        return sum(
            share * max(self.click_rate(context, text) for text in texts)
            for context, share in self.audience()
        )

    def _liking(self, device: str, daypart: str, text: str) -> float:
        attributes = text_attributes(text)
        structure = sum(
            amount
            * (
                1.4 * self._taste("all", name)
                + 0.9 * self._taste("device", name) * (1.0 if device == "mobile" else -1.0)
                + 0.4 * self._taste("daypart", name) * (1.0 if daypart == "morning" else -1.0)
            )
            for name, amount in attributes.items()
        )
        words = {word for word in _words(text) if len(word) > 3 and word not in _LEXICON}
        wording = sum(self._normal("word", word) for word in sorted(words))
        return structure + 0.5 * wording / math.sqrt(max(len(words), 1))

    def _taste(self, group: str, attribute: str) -> float:
        """Of random sign, and never near 0, so that no seed gives a world of no taste."""
        sign = 1.0 if self._uniform(group, "sign", attribute) < 0.5 else -1.0
        return sign * (0.4 + 0.6 * self._uniform(group, "size", attribute))

    def _weibull(self, *names: object) -> float:
        """Of shape 0.6, scaled to a median of 1: most come soon, a few very late."""
        return float((-math.log(self._uniform(*names)) / math.log(2.0)) ** (1.0 / 0.6))

    def _normal(self, *names: object) -> float:
        return _STANDARD_NORMAL.inv_cdf(self._uniform(*names))

    def _uniform(self, *names: object) -> float:
        """In (0, 1), from a hash: what one name draws never depends on what else was drawn."""
        key = "/".join(map(str, (self.seed, *names)))
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        return ((int.from_bytes(digest, "big") >> 11) + 0.5) * 2.0**-53


def text_attributes(text: str) -> dict[str, float]:
    """Returns what the simulated taste sees in a text: amounts around 0, by name.

    >>> attributes = text_attributes("Ready for a softer night?")
    >>> attributes["question"] > 0 > attributes["figure"]
    True
    """
    words = _words(text)
    present = {
        "question": "?" in text,
        "figure": any(character.isdigit() for character in text),
        "exclamation": "!" in text,
        "two parts": any(mark in text.rstrip(".") for mark in (":", ". ", " - ", " – ", " — ")),
    } | {theme: any(_LEXICON.get(word) == theme for word in words) for theme in THEMES}
    # centred, so that a text without any of it is about neutral
    amounts = {name: 0.75 if found else -0.25 for name, found in present.items()}
    amounts["length"] = max(-1.0, min(1.0, (len(words) - 7) / 5.0))
    return amounts


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _context(device: str, daypart: str) -> Context:
    return Context(json.dumps({"device": device, "daypart": daypart}).encode())
