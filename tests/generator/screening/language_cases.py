"""The labelled adverts of tests/data/gates/languages, judged by one gate and by all."""

from functools import cache
from typing import NamedTuple

import msgspec
import yaml
from msgspec.structs import replace

from generator.brief.schema import Brief
from generator.screening.screen import CandidateText, Screen, singly
from generator.screening.settings import CODES, usual
from tests.generator.screening.gate_cases import Measured
from tests.generator.screening.make_cases import FOLDER

WHOLE = "all"
"""Stands for the whole screen."""
LANGUAGES = tuple(sorted(path.stem for path in (FOLDER / "languages").glob("*.yaml")))


class Labelled(NamedTuple):
    """A brief's adverts: good ones, and bad ones by the gate that is to find them."""

    brief: Brief
    good: tuple[str, ...]
    bad: dict[str, tuple[str, ...]]


@cache
def labelled(language, part):
    """Returns the adverts of a language, a brief at a time."""
    path = FOLDER / "languages" / f"{language}.yaml"
    found = yaml.safe_load(path.read_text(encoding="utf-8"))[part]
    sets = found if isinstance(found, list) else [found]
    return tuple(
        Labelled(msgspec.convert(each["brief"], Brief), tuple(each["good"]), each.get("bad", {}))
        for each in sets
    )


def gates_of(language, part):
    """Returns the gates that judge texts of the language one by one, then the whole screen."""
    [first, *_] = labelled(language, part)
    skipped = ("cut_off", "duplicate", "crowding")
    return [*(code for code in Screen(first.brief).gates if code not in skipped), WHOLE]


def refused(brief, gate, texts):
    """Returns of each text whether the gate refuses it, at the usual thresholds."""
    others = () if gate == WHOLE else tuple(code for code in CODES if code != gate)
    thresholds = singly(replace(usual(), skip=others))
    verdicts = Screen(brief, thresholds=thresholds).judge([CandidateText(text) for text in texts])
    return [verdict.rejection is not None for verdict in verdicts]


def measure(language, gate, part):
    """Returns what the gate does on the language's adverts; a gate's bad are those labelled so."""
    bad = caught = good = wronged = 0
    for found in labelled(language, part):
        own = [t for code, texts in found.bad.items() if gate in (code, WHOLE) for t in texts]
        bad, good = bad + len(own), good + len(found.good)
        caught += sum(refused(found.brief, gate, own)) if own else 0
        wronged += sum(refused(found.brief, gate, found.good))
    return Measured(bad, caught, good, wronged)
