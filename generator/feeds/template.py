"""A brief an item: a brief as a template, whose texts name attributes of the feed in braces.

`facts: ["weighs {shipping_weight}"]` becomes a fact where the item has that attribute, and is left
out where it has not. Unless the template has an `ad` of its own, it is the item's `link` and
`image_link`, as far as the channel has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from generator.brief.channels import load_channel
from generator.brief.schema import Brief, brief_from_json
from generator.errors import BriefError, FeedError
from generator.feeds.merchant import ATTRIBUTES, Item
from generator.files import read_file
from streams.events import AdDetails

LONGEST: Final = 200
"""What a text of a brief may have."""
_NAMED: Final = re.compile(r"\{([a-z][a-z0-9_ ]*)\}", re.I)
_END: Final = re.compile(r"(?<=[.!?。！？])\s*")


class Template(NamedTuple):
    """The content of a brief with names in braces."""

    content: dict[str, Any]

    def names(self) -> set[str]:
        """Returns the attributes that it names."""
        text = msgspec.json.encode(self.content).decode()
        return {_canonical(found[1]) for found in _NAMED.finditer(text)}

    def brief(self, item: Item) -> Brief:
        """Returns the item's brief.

        Raises:
            BriefError: what comes of it is none.
        """
        filled = _filled(self.content, item.attributes)
        if not isinstance(filled, dict) or not filled.get("product"):
            raise BriefError("product: nothing is left of it; the item has none of what it names")
        brief = brief_from_json(Raw(msgspec.json.encode(filled)))
        return brief if brief.ad else replace(brief, ad=_details(brief, item))


def read_template(path: Path) -> Template:
    """Returns the template in a file, YAML or JSON.

    Raises:
        BriefError: it cannot be read, or is no object.
    """
    content = read_file(path, lambda content: content, BriefError)
    if not isinstance(content, dict):
        raise BriefError(f"{path}: is no brief; expected fields such as product")
    return Template(content)


def check_names(
    template: Template, items: Iterable[Item], columns: frozenset[str] = frozenset()
) -> None:
    """Refuses a template that names what is no attribute, which is a misspelling.

    Known are what the items have, the columns of the feed's table, and Merchant's own attributes,
    whose texts are left out where an item has none.

    Raises:
        FeedError: it names anything else.
    """
    there = columns | {name for item in items for name in item.attributes}
    unknown = sorted(template.names() - there - ATTRIBUTES)
    if unknown:
        raise FeedError(
            f"the template names {{{unknown[0]}}}, which no item has; they have "
            f"{', '.join(sorted(there))}, and a Merchant feed has no such attribute"
        )


def _details(brief: Brief, item: Item) -> AdDetails | UnsetType:
    """Returns where an item's ads lead, and its picture, as far as its channel has them."""
    found = AdDetails()
    for name, attribute in (("final_url", "link"), ("image", "image_link")):
        with_one = replace(found, **{name: item.attributes.get(attribute)})
        channel = brief.environment.channel
        why = load_channel(channel).problem_with(with_one) if channel else None
        found = with_one if why is None and with_one.problem() is None else found
    return UNSET if found == AdDetails() else found


def _filled(content: Any, attributes: dict[str, str]) -> Any:
    """Returns the content with attributes in place of names; None where one is missing."""
    match content:
        case str():
            return _text(content, attributes)
        case dict():
            pairs = ((name, _filled(each, attributes)) for name, each in content.items())
            return {name: each for name, each in pairs if each is not None}
        case list():
            return [each for inner in content if (each := _filled(inner, attributes)) is not None]
    return content


def _text(text: str, attributes: dict[str, str]) -> str | None:
    values = {_canonical(name): attributes.get(_canonical(name)) for name in _NAMED.findall(text)}
    if not values:
        return text
    if not all(values.values()):
        return None
    return shortened(_NAMED.sub(lambda found: values[_canonical(found[1])] or "", text))


def shortened(text: str, most: int = LONGEST) -> str:
    """Returns a text that a brief takes: whole sentences, else whole words, as far as they fit.

    >>> shortened("Light. Dry. Made of wax and canvas.", 14)
    'Light. Dry.'
    """
    if len(text) <= most:
        return text
    kept = ""
    for sentence in _END.split(text):
        longer = f"{kept} {sentence}".strip()
        if len(longer) > most:
            break
        kept = longer
    return kept or text[:most].rpartition(" ")[0] or text[:most]


def _canonical(name: str) -> str:
    return name.strip().replace(" ", "_").casefold()
