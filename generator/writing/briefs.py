"""What a brief is understood to say, and what of it would have every text refused.

`copyloop brief check` prints both, so that nobody finds out from an empty run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bandit.features.reading import mostly
from generator.brief.schema import LANGUAGES, Brief
from generator.errors import BriefError
from generator.files import cut_in_file
from generator.screening.gates import figures, lists, text
from generator.screening.gates.chat import chatty
from generator.screening.gates.language import SCRIPTS
from generator.screening.settings import usual
from generator.writing.creatives import channel_of, check_pieces

CUT_AT_COMMA: Final = re.compile(r"\d\x00\d{1,3}(?!\d)")
"""The end of an entry and the beginning of the next: one number that YAML cut at its comma."""


def check_usable(brief: Brief, base: Path) -> None:
    """Checks what `generate` would refuse before it writes a word.

    Args:
        brief: to check.
        base: the folder that the files of its material are relative to.

    Raises:
        BriefError: brand or claims do not fit the channel, a file is missing, or a required claim
            has words that the brief itself rules out.
    """
    check_pieces(brief)
    for place, material in enumerate(brief.material):
        if material.file is not None and not (base / material.file).is_file():
            raise BriefError(f"material[{place}].file: {base / material.file} is no file")
    limits = brief.constraints
    for place, claim in enumerate(limits.required_claims):
        ruled_out = text.ruled_out(claim, limits.never_use, limits.competitors, brief.language)
        if ruled_out.why:
            raise BriefError(
                f"constraints.required_claims[{place}]: {claim!r} is in every creative, and "
                f"{ruled_out.why}; change one of both"
            )


def understood(brief: Brief) -> list[str]:
    """Returns what the brief says, a line a field, each entry of a list in quotes.

    >>> understood(Brief(product="tea", facts=("loose", "4 g")))[:2]
    ['product: tea', 'facts: 2: "loose", "4 g"']
    """
    channel, limits = channel_of(brief), brief.constraints
    bounds = ", ".join(
        f"{asset.name} up to {asset.max_units}" for asset in channel.assets if asset.form != "brand"
    )
    attributes = tuple(f"{name} {value}" for name, value in brief.attributes.items())
    fields: dict[str, str | tuple[str, ...] | None] = {
        "product": brief.product,
        "brand": brief.brand,
        "facts": brief.facts,
        "attributes": attributes,
        "keywords": brief.keywords,
        "segments": tuple(segment.name for segment in brief.segments),
        "time": brief.time.said(),
        "required claims": limits.required_claims,
        "allowed claims": limits.allowed_claims,
        "never use": limits.never_use,
        "competitors": limits.competitors,
        "figures": tuple(dict.fromkeys(
            figure.said
            for line in brief.texts()
            for figure in figures.read_figures(line, brief.language)
        )),
        "language": LANGUAGES[brief.language],
        "pieces": f"{bounds}, counted in {channel.counting.replace('_', ' ')}",
    }  # fmt: skip
    return [f"{name}: {_shown(value)}" for name, value in fields.items() if value]


def _shown(value: str | tuple[str, ...] | None) -> str:
    if isinstance(value, tuple):
        return f"{len(value)}: " + ", ".join(f'"{entry}"' for entry in value)
    return str(value)


def warnings(brief: Brief, path: Path | None = None) -> Iterator[str]:
    """Yields what is likely a slip, or would have texts refused that say what the brief says.

    Args:
        brief: that was read.
        path: its file, which tells for certain what YAML cut at a comma.
    """
    cut = None if path is None or path.suffix == ".json" else cut_in_file(path)
    yield from (told for pair, told in _cut_entries(brief) if cut is None or pair in cut)
    script = mostly(brief.product)
    if script and script not in _scripts(brief.language):
        yield (
            f"language: is {LANGUAGES[brief.language]}, and the product is written in {script} "
            "letters; say which language the texts are to be in"
        )
    markets, told = usual().law.markets, brief.language
    limits = brief.constraints
    said = {
        "product": (brief.product,), "brand": (brief.brand or "",), "facts": brief.facts,
        "keywords": brief.keywords, "constraints.allowed_claims": limits.allowed_claims,
        "constraints.required_claims": limits.required_claims,
        "time.promotion": (brief.time.promotion or "",),
    }  # fmt: skip
    for field, entries in said.items():
        for entry in filter(None, entries):
            for finding in (
                text.ruled_out(entry, limits.never_use, limits.competitors, told),
                lists.unlawful(entry, markets, told, brief.claims()),
                lists.contemptuous(entry, told),
                chatty(entry),
            ):
                if finding.why:
                    yield f"{field}: texts that say {entry!r} are refused: {finding.why}"


def _scripts(language: str) -> tuple[str, ...]:
    """Returns the scripts that names in a language may be written in."""
    own = {"ja": ("kana", "han"), "ko": ("hangul", "han")}
    return ("latin", *own.get(language, (SCRIPTS.get(language, "latin"),)))


def _cut_entries(brief: Brief) -> Iterator[tuple[tuple[str, str], str]]:
    """Yields neighbours in a list that were one number before YAML read its comma, and a warning.

    An entry with a comma of its own was quoted, or is not of such a list.
    """
    limits = brief.constraints
    lists_of = {
        "facts": brief.facts, "goals": brief.goals, "keywords": brief.keywords,
        "constraints.allowed_claims": limits.allowed_claims,
        "constraints.required_claims": limits.required_claims,
    }  # fmt: skip
    for field, entries in lists_of.items():
        for place in range(len(entries) - 1):
            first, second = entries[place : place + 2]
            quoted = "," in first or "," in second
            if not quoted and CUT_AT_COMMA.search(f"{first[-1:]}\0{second[:4]}"):
                warning = (
                    f"{field}: {first!r} and {second!r} are two entries, as YAML parts a list at "
                    f'each comma; if they are one, write ["{first},{second}"]'
                )
                yield (first, second), warning
