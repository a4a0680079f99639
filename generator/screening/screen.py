"""The screen between the model and the catalogue: each text gets in, or is told why not.

Gates run in order of what they cost, each over all texts that are left, so the first reason is
the cheapest one. A screen is made for one brief and remembers what it let in: it sees
near-duplicates and crowds within its batches, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np
from msgspec.structs import asdict, replace

from bandit.features.reading import one_line, unquoted, words
from generator.brief.channels import Counting, units
from generator.brief.prompts import EXAMPLES
from generator.brief.schema import Brief
from generator.screening.gates import (
    GateFinding,
    claims,
    figures,
    form,
    language,
    lists,
    similarity,
    text,
)
from generator.screening.gates.chat import chatty
from generator.screening.gates.likeness import TextReader, Vectors, reader_of
from generator.screening.gates.rules import HARM, broken, load_rules
from generator.screening.settings import CODES, OffTopic, Thresholds, usual

if TYPE_CHECKING:
    from rich.table import Table

QUOTE: Final = '"'
STOP: Final = QUOTE + "\n"
"""What ends a text: prompts put it in quotes, on one line."""
TOLD_BY_LETTERS: Final = frozenset({"zh", "zh-Hans", "zh-Hant"})
"""Languages of which shared letters tell the subject. On 278 good and bad lines, of Japanese they
refused 40 % of the good, and of Korean, German, Spanish and French they found less than half of
the bad."""
TAKE_EMOJI: Final = frozenset(
    ("douyin", "email", "linkedin", "meta", "push", "tiktok", "wechat_moments", "x")
)
"""Channels on which emoji are usual; Google's rules on symbols refuse them in search and display
(https://support.google.com/adspolicy/answer/6021546)."""
HARMFUL: Final = frozenset({"harm", "law", "platform", "profanity"})
"""The gates whose rejections are of what must not be said, and not of how well it is said."""
ALIKE: Final = ("duplicate", "crowding")
"""The gates that compare texts with each other."""
OUTRANKED: Final = "outranked"
"""The code of what passed every gate, and was still not among those that were wanted."""

Gate: TypeAlias = Callable[[Sequence[str]], list[GateFinding]]


class Rejection(NamedTuple):
    """Why a text does not get in: a stable code, and words for people."""

    code: str
    words: str

    def __str__(self) -> str:
        return f"{self.code}: {self.words}"


class CandidateText(NamedTuple):
    """A text to be judged: what the prompt gave of it, and whether the model came to its end."""

    text: str
    opening: str = ""
    ended: bool = True


class ScreenVerdict(NamedTuple):
    """What became of a text: why it is refused, if it is, and what each gate measured."""

    rejection: Rejection | None
    scores: dict[str, float]


def clean(completion: str) -> tuple[str, bool]:
    r"""Returns the text in a completion, and whether the model came to its end.

    >>> clean('  Fresh   beans,\tdaily"')
    ('Fresh beans, daily', True)
    >>> clean("Fresh beans for")
    ('Fresh beans for', False)
    >>> clean('"「静かな朝に」"')
    ('静かな朝に', True)
    """
    # A quote that an answer begins with opens a quotation, which ends at the next one.
    inner = completion.lstrip().removeprefix(QUOTE)
    ends = [inner.index(mark) for mark in STOP if mark in inner]
    text = inner[: min(ends)] if ends else inner
    return unquoted(one_line(text)), any(mark in completion for mark in STOP)


class Screen:
    """Judges texts for one brief.

    Args:
        brief: whose constraints hold.
        counting: how the place counts their length.
        existing: texts that there are already, and those that people rejected.
        winners: texts that the model was shown.
        thresholds: what the gates let through.
        reader: the model that writes; if it is a `Scorer`, it also says what is nonsense.
        whole: whether the texts are whole creatives, so that required claims must be in each.

    Attributes:
        gates: the codes of the gates that are run.
    """

    def __init__(
        self,
        brief: Brief,
        *,
        counting: Counting = "characters",
        existing: Iterable[str] = (),
        winners: Iterable[str] = (),
        thresholds: Thresholds | None = None,
        reader: object = None,
        whole: bool = False,
    ) -> None:
        self._thresholds = thresholds or usual()
        self._taken = list(existing)
        self._reader = reader_of(brief.language, self._thresholds.likeness.model)
        self._vectors = self._reader.vectors(self._taken)
        self._accepted: list[int] = []
        shown = list(winners)
        by_code = {
            **_form_gates(brief, counting, self._thresholds),
            **_truth_gates(brief, self._thresholds),
            **_sense_gates(brief, shown, self._thresholds, self._reader),
        }
        if whole:
            stated = brief.constraints.required_claims
            by_code["required_claims"] = _each(lambda t: claims.required({"text": t}, stated))
        if isinstance(reader, similarity.Scorer):
            after, ceiling = similarity.before(brief.product), self._thresholds.nonsense.ceiling
            by_code["nonsense"] = lambda texts: [
                similarity.nonsense(surprise, ceiling)
                for surprise in reader.surprise(texts, after=after)
            ]
        skipped = self._thresholds.skip
        self._gates = [(c, by_code[c]) for c in CODES if c in by_code and c not in skipped]
        self._sequential = [c for c in ALIKE if c not in skipped]
        self.gates = ("cut_off", *(code for code, _ in self._gates), *self._sequential)

    def judge(self, batch: Sequence[CandidateText]) -> list[ScreenVerdict]:
        """Returns the verdict on each text, in order; those that pass are remembered as taken.

        Raises:
            BackendError: the reader failed.
        """
        verdicts = [ScreenVerdict(_unfinished(written), {}) for written in batch]
        for code, gate in self._gates:
            left = [i for i, verdict in enumerate(verdicts) if verdict.rejection is None]
            findings = gate([batch[i].text for i in left]) if left else []
            for i, finding in zip(left, findings, strict=True):
                verdicts[i] = _with(verdicts[i], code, finding)
        passed = [i for i, verdict in enumerate(verdicts) if verdict.rejection is None]
        directions = self._reader.vectors([batch[i].text for i in passed])
        for i, direction in zip(passed, directions, strict=True):
            verdicts[i] = self._beside_others(batch[i].text, direction, verdicts[i])
        return verdicts

    def _beside_others(
        self, text: str, direction: Vectors, verdict: ScreenVerdict
    ) -> ScreenVerdict:
        """Judges a text by what there is already; one that passes is there from then on."""
        for code in self._sequential:
            if code == "duplicate":
                limits = asdict(self._thresholds.duplicate)
                closeness = self._vectors @ direction
                finding = similarity.duplicate(text, self._taken, closeness, **limits)
            else:
                crowding = self._thresholds.crowding
                own = self._vectors[self._accepted]
                floor = crowding.letters if self._reader.kind == "letters" else crowding.floor
                finding = similarity.crowded(direction, own, floor=floor, nearest=crowding.nearest)
            verdict = _with(verdict, code, finding)
            if verdict.rejection is not None:
                return verdict
        self._accepted.append(len(self._taken))
        self._taken.append(text)
        self._vectors = np.vstack([self._vectors, direction])
        return verdict


def singly(thresholds: Thresholds) -> Thresholds:
    """Returns the thresholds by which each text is judged by itself, and not beside others."""
    return replace(thresholds, skip=(*thresholds.skip, *ALIKE))


def harmful(brief: Brief, texts: Sequence[str], thresholds: Thresholds) -> list[bool]:
    """Returns of each text whether a gate of harm refuses it, whatever other gates say."""
    others = tuple(code for code in Screen(brief).gates if code not in HARMFUL)
    screen = Screen(brief, thresholds=replace(thresholds, skip=(*thresholds.skip, *others)))
    verdicts = screen.judge([CandidateText(text) for text in texts])
    return [verdict.rejection is not None for verdict in verdicts]


def _form_gates(brief: Brief, counting: Counting, thresholds: Thresholds) -> dict[str, Gate]:
    """Returns the gates that look at how a text is written."""
    limits = brief.constraints
    most, least = limits.max_characters, thresholds.length.least_words
    told, extra = brief.language, thresholds.characters.extra
    latin, emoji = told not in language.SCRIPTS, brief.environment.channel in TAKE_EMOJI
    return {
        "empty": _each(form.empty),
        "length": _each(lambda t: form.length(t, most, counting, least, told)),
        "fragment": _each(lambda t: form.fragment(t, told)),
        "leaked": _each(lambda t: text.leaked(t, brief)),
        "chat": _each(chatty),
        "markup": _each(text.markup),
        "characters": _each(
            lambda t: form.characters(t, latin=latin, extra=extra, emoji=emoji, language=told)
        ),
        "never_use": _each(lambda t: text.ruled_out(t, limits.never_use, limits.competitors, told)),
        "repeats": _each(lambda t: form.repeats(t, told)),
    }


def _truth_gates(brief: Brief, thresholds: Thresholds) -> dict[str, Gate]:
    """Returns the gates that look at what a text claims."""
    said, claimed = brief.texts(), brief.claims()
    themes = [load_rules(theme) for theme in thresholds.platform.themes]
    harm = [load_rules(HARM)]
    told, markets = brief.language, thresholds.law.markets
    gates = {
        "figures": _each(lambda t: figures.unbacked(t, said, told)),
        "unfounded": _each(lambda t: claims.unfounded(t, said, told)),
        "law": _each(lambda t: lists.unlawful(t, markets, told, claimed)),
        "harm": _each(lambda t: lists.contemptuous(t, told)),
    }
    if told == "en":
        gates |= {
            "against": _each(lambda t: claims.against(t, brief)),
            "platform": _each(lambda t: broken(t, themes, claimed)),
            "harm": _each(lambda t: _first(broken(t, harm), lists.contemptuous(t, told))),
        }
    return gates


def _sense_gates(
    brief: Brief, shown: Sequence[str], thresholds: Thresholds, reader: TextReader
) -> dict[str, Gate]:
    """Returns the gates that look at words, language and subject."""
    said = [*brief.texts(), *shown]
    copied, grammar = thresholds.copied, thresholds.grammar
    tongue, chinese = asdict(thresholds.language), language.form_of(brief)
    names = language.names_of(brief)
    extra, allowed = thresholds.profanity.extra, thresholds.profanity.allowed
    listing = text.profanities(extra, allowed)
    gates = {
        "copied": _each(
            lambda t: similarity.copied(t, [*shown, *EXAMPLES], nearly_equal=copied.nearly_equal)
        ),
        "profanity": _each(
            lambda t: (
                text.profane(t, listing)
                if brief.language == "en"
                else lists.profane(t, brief.language, extra, allowed)
            )
        ),
        "language": _each(
            lambda t: language.in_language(t, brief.language, form=chinese, known=names, **tongue)
        ),
    }
    if brief.language == "en":
        gates["grammar"] = _each(
            lambda t: text.misspelt(t, kinds=grammar.kinds, ignored=grammar.ignored, known=said)
        )
    if reader.kind != "letters" or brief.language in TOLD_BY_LETTERS:
        gates["off_topic"] = _off_topic(said, thresholds.off_topic, reader)
    return gates


def _off_topic(said: Sequence[str], limits: OffTopic, reader: TextReader) -> Gate:
    subjects = reader.vectors(said)
    letters = reader.kind == "letters"
    floor = limits.letters if letters else limits.floor

    def judged(texts: Sequence[str]) -> list[GateFinding]:
        found = [similarity.off_topic(v, subjects, floor) for v in reader.vectors(texts)]
        # A short text shares no letter with most things that are said of its subject.
        return [
            GateFinding(finding.score)
            if letters and units(text, "double_width") < limits.letters_from
            else finding
            for text, finding in zip(texts, found, strict=True)
        ]

    return judged


def _first(*findings: GateFinding) -> GateFinding:
    """Returns the finding of several gates as one: how much all found, and the first reason."""
    why = next((finding.why for finding in findings if finding.why), None)
    return GateFinding(sum(finding.score for finding in findings), why)


def _each(gate: Callable[[str], GateFinding]) -> Gate:
    return lambda texts: [gate(text) for text in texts]


def _unfinished(written: CandidateText) -> Rejection | None:
    if not written.ended:
        return Rejection("cut_off", "the model had not come to the end of the line")
    if written.opening and words(written.text) == words(written.opening):
        return Rejection("fragment", "the model added nothing to the opening")
    return None


def _with(verdict: ScreenVerdict, code: str, finding: GateFinding) -> ScreenVerdict:
    scores = {**verdict.scores, code: round(finding.score, 4)}
    return ScreenVerdict(Rejection(code, finding.why) if finding.why is not None else None, scores)


class GateCount(NamedTuple):
    """One gate in a report; `example` is the first text that it refused, None if none."""

    gate: str
    seen: int
    refused: int
    example: str | None
    why: str | None


def report(
    gates: Sequence[str], batch: Sequence[CandidateText], verdicts: Sequence[ScreenVerdict]
) -> list[GateCount]:
    """Returns a row for each gate, in the order in which they ran.

    A gate has seen what those before it let through.
    """
    rows, left = [], len(batch)
    for gate in gates:
        refused = [
            (written.text, verdict.rejection.words)
            for written, verdict in zip(batch, verdicts, strict=True)
            if verdict.rejection is not None and verdict.rejection.code == gate
        ]
        example, why = refused[0] if refused else (None, None)
        rows.append(GateCount(gate, left, len(refused), example, why))
        left -= len(refused)
    return rows


def to_table(rows: Sequence[GateCount]) -> Table:
    """Returns the report as a table to print."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        "gate", "seen", "refused", "for example", "why", title="gates", title_justify="left"
    )
    for row in rows:
        style = None if row.refused else "dim"
        said = (escape(row.example or ""), escape(row.why or ""))
        table.add_row(row.gate, str(row.seen), str(row.refused), *said, style=style)
    return table
