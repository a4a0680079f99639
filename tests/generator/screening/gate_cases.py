"""The labelled cases of tests/data/gates, each judged by its gate alone."""

import json
from collections import Counter
from functools import cache
from typing import NamedTuple

import msgspec

from generator.brief.prompts import EXAMPLES
from generator.brief.schema import Brief
from generator.screening.gates import (
    claims,
    figures,
    form,
    language,
    lists,
    rules,
    similarity,
    text,
)
from generator.screening.gates.likeness import vectors
from generator.screening.gates.similarity import before, nonsense
from generator.screening.settings import usual
from tests.generator.screening.make_cases import FOLDER, PRODUCTS


class Measured(NamedTuple):
    """How a gate does on one part: of the bad what it refuses, of the good what it lets through."""

    bad: int
    caught: int
    good: int
    wronged: int

    @property
    def precision(self):
        return self.caught / (self.caught + self.wronged) if self.caught + self.wronged else 1.0

    @property
    def recall(self):
        return self.caught / self.bad

    @property
    def wronged_share(self):
        return self.wronged / self.good


@cache
def brief_of(product):
    everything = {name: found for part in PRODUCTS.values() for name, found in part.items()}
    if product is None:
        return Brief(product="anything")
    return msgspec.convert(everything[product]["brief"], Brief)


def load(gate):
    lines = (FOLDER / f"{gate}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def cases(gate, part):
    """Returns the gate's cases with the headlines that all gates are to let through."""
    own = [row for row in load(gate) if row["part"] == part]
    if gate in ("crowding", "required_claims", "duplicate"):
        return own
    return own + [row for row in load("good") if row["part"] == part]


def measure(gate, part, *, backend=None):
    rows = cases(gate, part)
    return counted(rows, judge(gate, rows, backend=backend))


def counted(rows, findings):
    refused = [finding.why is not None for finding in findings]
    found = Counter(zip((row["good"] for row in rows), refused, strict=True))
    return Measured(
        bad=found[False, True] + found[False, False],
        caught=found[False, True],
        good=found[True, True] + found[True, False],
        wronged=found[True, True],
    )


def judge(gate, rows, *, backend=None):
    """Returns what the gate finds in each row, at the usual thresholds."""
    if gate == "nonsense":
        return _nonsense(rows, backend)
    if gate == "off_topic":
        found = vectors([row["text"] for row in rows])
        return [
            similarity.off_topic(v, _subjects(row["product"]), usual().off_topic.floor)
            for v, row in zip(found, rows, strict=True)
        ]
    return [JUDGES[gate](row, brief_of(row.get("product"))) for row in rows]


def _nonsense(rows, backend):
    """Each product's texts in one pass, as a screen reads them."""
    found = {}
    for product in {row["product"] for row in rows}:
        own = [i for i, row in enumerate(rows) if row["product"] == product]
        texts = [rows[i]["text"] for i in own]
        surprises = backend.surprise(texts, after=before(brief_of(product).product))
        found |= dict(zip(own, surprises, strict=True))
    return [nonsense(found[i], usual().nonsense.ceiling) for i in range(len(rows))]


@cache
def _subjects(product):
    brief = brief_of(product)
    return vectors(brief.texts())


def _length(row, brief):
    empty = form.empty(row["text"])
    limit = brief.constraints.max_characters
    return (
        empty
        if empty.why
        else form.length(row["text"], limit, "characters", usual().length.least_words)
    )


def _sources(brief):
    return brief.texts()


def _duplicate(row, _):
    both = vectors([row["text"], *row["others"]])
    settings = msgspec.structs.asdict(usual().duplicate)
    return similarity.duplicate(row["text"], row["others"], both[1:] @ both[0], **settings)


def _crowding(row, _):
    """One of a set is too much, or none is: each is judged by those before it."""
    found = vectors(row["texts"])
    settings = {"floor": usual().crowding.floor, "nearest": usual().crowding.nearest}
    judged = [similarity.crowded(found[i], found[:i], **settings) for i in range(len(found))]
    return min(judged, key=lambda finding: finding.score)


def _platform(row, brief):
    loaded = [rules.load_rules(theme) for theme in usual().platform.themes]
    return rules.broken(row["text"], loaded, brief.claims())


JUDGES = {
    "length": _length,
    "characters": lambda row, _: form.characters(row["text"], latin=True),
    "markup": lambda row, _: text.markup(row["text"]),
    "fragment": lambda row, _: form.fragment(row["text"]),
    "leaked": lambda row, brief: text.leaked(row["text"], brief),
    "repeats": lambda row, _: form.repeats(row["text"]),
    "against": lambda row, brief: claims.against(row["text"], brief),
    "language": lambda row, _: language.in_language(
        row["text"], row.get("language", "en"), **msgspec.structs.asdict(usual().language)
    ),
    "grammar": lambda row, brief: text.misspelt(
        row["text"], known=_sources(brief), **msgspec.structs.asdict(usual().grammar)
    ),
    "profanity": lambda row, _: text.profane(row["text"], text.profanities()),
    "never_use": lambda row, brief: text.ruled_out(
        row["text"], brief.constraints.never_use, brief.constraints.competitors
    ),
    "platform": _platform,
    "harm": lambda row, _: max(
        rules.broken(row["text"], [rules.load_rules(rules.HARM)]),
        lists.contemptuous(row["text"], "en"),
    ),
    "required_claims": lambda row, _: claims.required({"headline": row["text"]}, row["claims"]),
    "figures": lambda row, brief: figures.unbacked(row["text"], _sources(brief)),
    "unfounded": lambda row, brief: claims.unfounded(row["text"], _sources(brief)),
    "duplicate": _duplicate,
    "copied": lambda row, _: similarity.copied(
        row["text"], EXAMPLES, **msgspec.structs.asdict(usual().copied)
    ),
    "crowding": _crowding,
}
