"""Rules that platforms and decency set, as data: what a text says that it must not.

One YAML file a theme, with where its rules come from. A rule is a set of expressions; the words
between do not matter, so a rule errs both ways, and how often is measured (generator/README.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import yaml
from msgspec import Struct

from generator.screening.gates import GateFinding

FOLDER: Final = Path(__file__).parent / "rules"
HARM: Final = "harm"


class PlatformRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a text is refused, and the expressions that find it; any of them is enough."""

    why: str
    patterns: tuple[str, ...]


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """The rules of one theme.

    Attributes:
        name: what the theme is called in settings and reasons.
        checked: when the sources were last read.
        provable: whether a claim that the brief makes word for word is let through.
        sources: addresses.
        rules: in the order in which they are looked at.
        groups: what `{groups}` stands for in the patterns.
    """

    name: str
    checked: str
    provable: bool
    sources: tuple[str, ...]
    rules: tuple[PlatformRule, ...]
    groups: str = ""


class Compiled(NamedTuple):
    """A theme, ready to be looked for."""

    name: str
    provable: bool
    rules: tuple[tuple[str, re.Pattern[str]], ...]


# The files come with the package and do not change.
@cache
def themes() -> tuple[str, ...]:
    """Returns the names of the files of rules.

    >>> themes()
    ('finance', 'gambling', 'harm', 'health', 'personal_attributes', 'superlatives')
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def load_rules(theme: str) -> Compiled:
    """Returns the rules of a theme."""
    content = yaml.safe_load((FOLDER / f"{theme}.yaml").read_text(encoding="utf-8"))
    rules = msgspec.convert(content, Rules, strict=True)
    groups = rules.groups.replace(" (?:", "(?:").replace("| ", "|")
    compiled = tuple(
        (rule.why, _any_of([p.replace("{groups}", groups) for p in rule.patterns]))
        for rule in rules.rules
    )
    return Compiled(rules.name, rules.provable, compiled)


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    starts = (p if p.startswith(("^", "(?<")) else rf"(?<!\w)(?:{p})" for p in patterns)
    return re.compile("|".join(f"(?:{p}(?!\\w))" if p[-1].isalnum() else p for p in starts), re.I)


def broken(text: str, rules: Iterable[Compiled], claims: Iterable[str] = ()) -> GateFinding:
    """The first rule that a text breaks; scores how many it breaks.

    Args:
        text: what to look at.
        rules: of the themes that count.
        claims: what may be claimed, word for word, against provable rules.
    """
    whys = []
    plain = text.replace("’", "'")
    backed = [claim.lower() for claim in claims]
    for theme in rules:
        for why, pattern in theme.rules:
            found = pattern.search(plain)
            if found is None:
                continue
            if theme.provable and any(found[0].strip().lower() in claim for claim in backed):
                continue
            whys.append(f"{theme.name}: {found[0].strip()!r} {why}")
    return GateFinding(len(whys), whys[0] if whys else None)
