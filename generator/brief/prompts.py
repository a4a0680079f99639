"""Prompts: a brief as the beginning of a text that goes on with a headline or a sentence.

The model is asked to continue, not to answer: it sees a few products with such texts, then ours,
and the first words of ours. The ways to open ("frames") and the segments take turns; which ones
were used goes into the creative's lineage.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
import yaml
from msgspec import Struct

from generator.brief.schema import DEFAULT_MAX_CHARACTERS, LANGUAGES, Brief, Constraints, Segment
from generator.brief.words import Words, listed, moment_in, place_in, words_of

FILE: Final = Path(__file__).parent / "frames.yaml"
TextForm: TypeAlias = Literal["line", "sentence"]
ARTICLE: Final = re.compile(r"^(?:an?|the)\s+", re.I)
UNSPACED: Final = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Letters of scripts that put no spaces between words: Thai, Japanese, Chinese."""
ROOM: Final = 0.6
"""An opening takes at most this share of a text's characters."""


class Frame(Struct, frozen=True, forbid_unknown_fields=True):
    """A way to open a text, `opening`, and a text for each of `Frames.products` that does."""

    name: str
    opening: str
    examples: tuple[str, str, str]


class Frames(Struct, frozen=True, forbid_unknown_fields=True):
    """The ways to open headlines and sentences, and the products of their examples."""

    products: tuple[str, str, str]
    line: tuple[Frame, ...]
    sentence: tuple[Frame, ...]


# The file comes with the package and does not change.
_frames = msgspec.convert(yaml.safe_load(FILE.read_text(encoding="utf-8")), Frames, strict=True)
PRODUCTS, LINES, SENTENCES = _frames.products, _frames.line, _frames.sentence
EXAMPLES: Final = tuple(text for frame in (*LINES, *SENTENCES) for text in frame.examples)
"""Everything that a model is shown, and so must not write."""
FORMS: Final[dict[TextForm, tuple[str, tuple[Frame, ...]]]] = {
    "line": ("Headline", LINES),
    "sentence": ("Description", SENTENCES),
}


class Prompt(NamedTuple):
    """What the model continues; `opening` is the part of it that belongs to the text.

    `winner` is the text that it opens like, where it does.
    """

    text: str
    opening: str
    frame: str
    segment: str | None = None
    winner: str | None = None

    @property
    def label(self) -> str:
        """Frame and opening, as a creative's lineage keeps them."""
        return f"{self.frame}: {self.opening}".rstrip(": ")


def prompts(
    brief: Brief,
    *,
    seed: int,
    winners: Sequence[str] = (),
    form: TextForm = "line",
    max_characters: int | None = None,
) -> Iterator[Prompt]:
    """Yields prompts without end: frame after frame, and in each one opening after the other.

    With winners, every other prompt opens as one of them does.

    Args:
        brief: what to write about.
        seed: of the order.
        winners: texts of this form that did well.
        form: a headline, or a sentence.
        max_characters: of the text; None for what the brief says of headlines.
    """
    order = random.Random(seed)
    sheet = _Sheet(brief, form, max_characters or brief.constraints.max_characters)
    openings = [found for frame in FORMS[form][1] if (found := sheet.openings(frame))]
    for found in openings:
        order.shuffle(found)
    for turn in itertools.count():
        for found in order.sample(openings, len(openings)):
            yield found[turn % len(found)]
            if winners:
                yield sheet.like_winner(winners, order)


def plain_prompt(brief: Brief, *, segment: str | None = None, form: TextForm = "line") -> str:
    """Returns the brief alone, without examples or an opening: for a model that was taught.

    `segment` is the name of one of the brief's; another, or None, leaves the audience open.
    """
    known = next((each for each in brief.segments if each.name == segment), None)
    sheet = _Sheet(brief, form, brief.constraints.max_characters)
    return sheet.prompt((), "", "plain", known).text


def plain_prompts(brief: Brief, *, form: TextForm = "line") -> Iterator[Prompt]:
    """Yields plain prompts without end, one for each segment in turn."""
    segments: Sequence[str | None] = [segment.name for segment in brief.segments] or [None]
    return itertools.cycle(
        [
            Prompt(plain_prompt(brief, segment=segment, form=form), "", "plain", segment)
            for segment in segments
        ]
    )


def brief_said(
    prompt: str, *, language: str = "en", max_characters: int = DEFAULT_MAX_CHARACTERS
) -> Brief:
    r"""Returns a brief that says what a plain prompt says, for gates where no other is known.

    >>> brief_said('Product: tea (loose, black)\nHeadline: "').texts()
    ('tea', 'loose, black')
    """
    sheet = prompt.rpartition("\n")[0] or prompt
    parts = [part.strip() for part in re.split(r"[|()\n]", sheet)]
    product, *said = [re.split("[:：]", part)[-1].strip() for part in parts if part]
    return Brief(
        product=product,
        facts=tuple(fact for fact in said if fact),
        language=language,
        constraints=Constraints(max_characters=max_characters),
    )


class _Sheet(NamedTuple):
    """What the prompts of one brief and form have in common."""

    brief: Brief
    form: TextForm
    max_characters: int

    def openings(self, frame: Frame) -> list[Prompt]:
        """Returns the frame's prompts, one for each segment and opening that leaves room."""
        found = []
        for segment in self.brief.segments or (None,):
            for opening in sorted(self._filled(frame, segment)):
                if len(opening) <= ROOM * self.max_characters:
                    shown = zip(PRODUCTS, frame.examples, strict=True)
                    found.append(self.prompt(shown, opening, frame.name, segment))
        return found

    def _filled(self, frame: Frame, segment: Segment | None) -> set[str]:
        if self.brief.language != "en":
            return {""}
        slot = re.search(r"\{(\w+)\}", frame.opening)
        if slot is None:
            return {frame.opening}
        subjects = _subjects(self.brief, segment)[slot[1]]
        filled = {frame.opening.format(**{slot[1]: subject}) for subject in subjects}
        return {_one_line(opening[:1].upper() + opening[1:]) for opening in filled}

    def like_winner(self, winners: Sequence[str], order: random.Random) -> Prompt:
        """Opens as one winner does, and shows those that begin with other words."""
        winner = order.choice(winners)
        words = winner.split()
        space = " "
        if UNSPACED.search(winner):  # a whole text would be one word, and be glued to another
            words, space = list(winner), ""
        opening = words[: order.randint(min(2, len(words)), max(2, len(words) // 2))]
        segment = order.choice(self.brief.segments) if self.brief.segments else None
        # One that shares a word with the opening would be copied to its end.
        unlike = [other for other in winners if set(opening).isdisjoint(other.split())]
        shown = [(_about(self.brief, segment), other) for other in unlike[:2]]
        frame = order.choice(FORMS[self.form][1])
        examples = zip(PRODUCTS, frame.examples, strict=True)
        prompt = self.prompt([*examples, *shown], space.join(opening), "winner", segment)
        return prompt._replace(winner=winner)

    def prompt(
        self, shown: Iterable[tuple[str, str]], opening: str, frame: str, segment: Segment | None
    ) -> Prompt:
        """Returns a prompt that shows these texts of other products first.

        A language that has words of its own in the package is asked for in these alone: English
        examples around it would be followed.
        """
        own_words = None if self.brief.language == "en" else words_of(self.brief.language)
        if own_words is not None:
            named = own_words.headline if self.form == "line" else own_words.description
            about = own_words.product.replace("{}", _about_in(self.brief, segment, own_words))
            text = f'{about}\n{named}"{opening}'
            return Prompt(text, opening, frame, segment.name if segment else None)
        label, language = FORMS[self.form][0], LANGUAGES[self.brief.language]
        # A model that is told the language only where it changes follows it better.
        others = label if language == "English" else f"{label} in English"
        own = label if language == "English" else f"{label} in {language}"
        examples = "".join(f'Product: {product}\n{others}: "{text}"\n\n' for product, text in shown)
        text = f'{examples}Product: {_about(self.brief, segment)}\n{own}: "{opening}'
        return Prompt(text, opening, frame, segment.name if segment else None)


def _subjects(brief: Brief, segment: Segment | None) -> dict[str, Sequence[str]]:
    """Returns what may stand in an opening's slot, by the slot's name."""
    promotion = (brief.time.promotion,) if brief.time.promotion else ()
    return {
        "keyword": [ARTICLE.sub("", _one_line(k)) for k in brief.keywords or (brief.product,)],
        "fact": (*brief.facts, *promotion),
        "claim": brief.constraints.allowed_claims,
        "moment": [moment for moment in (brief.time.holiday, brief.time.season) if moment],
        "who": (segment.who,) if segment else (),
        "goal": brief.goals,
    }


def _about(brief: Brief, segment: Segment | None) -> str:
    """Returns the brief in one line, as a prompt says it."""
    audience = f" for {segment.who}" if segment else ""
    known = (*segment.interests, *segment.behaviour) if segment else ()
    voice = (brief.voice,) if brief.voice else ()
    pictured = (text for material in brief.material for text in material.said())
    notes = [
        *brief.claims(),
        *known,
        *brief.goals,
        *brief.time.said(),
        *brief.environment.said(),
        *voice,
        *pictured,
    ]
    noted = f" ({', '.join(notes)})" if notes else ""
    return _one_line(f"{brief.product}{audience}{noted}")


def _about_in(brief: Brief, segment: Segment | None, words: Words) -> str:
    """Returns the brief in one line, with nothing in it of another language than its own."""
    known = (segment.who, *segment.interests, *segment.behaviour) if segment else ()
    notes = [
        *brief.claims(),
        *known,
        *brief.goals,
        *moment_in(brief.time, words),
        brief.time.holiday,
        brief.time.promotion,
        *place_in(brief.environment, words),
        brief.voice,
        *(text for material in brief.material for text in material.said()),
    ]
    noted = listed(notes, words)
    return _one_line(f"{brief.product} ({noted})" if noted else brief.product)


def _one_line(text: str) -> str:
    return " ".join(text.split())
