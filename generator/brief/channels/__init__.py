"""Channels: what an advert consists of on each platform, and how long each piece may be.

One YAML file a channel, with where its limits are from and how the platform counts.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
import yaml
from msgspec import Struct

from generator.errors import ChannelUnknown
from generator.files import Count
from streams.events import AdDetails

Counting: TypeAlias = Literal["characters", "double_width", "gbk", "x", "sms"]
"""`characters`: each code point is one. `double_width`: those that are drawn twice as wide, as
Chinese, Japanese and Korean ones are, count as two. `gbk`: what is beyond ASCII counts as two, as
Chinese platforms count, Chinese quotation marks included. `x`: X's weights. `sms`: of 160, as a
message in GSM's alphabet; one sign beyond it, and each of 70 places counts 160 / 70."""

SINGLE_ON_X: Final = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
"""Ranges of code points that X counts as one (twitter-text's configuration, version 3)."""
LINK_ON_X: Final = 23
LINK: Final = re.compile(r"https?://\S+")
EMOJI: Final = re.compile(
    # flags; keycaps; a pictograph with its variation, skin tone and what is joined to it
    "[\U0001f1e6-\U0001f1ff]{2}|[0-9#*]\ufe0f?\u20e3|"
    "[\u203c-\u3299\U0001f000-\U0001faff]\ufe0f?[\U0001f3fb-\U0001f3ff]?"
    "(?:\u200d[\u2190-\u3299\U0001f000-\U0001faff]\ufe0f?[\U0001f3fb-\U0001f3ff]?)+|"
    "[\U0001f000-\U0001faff]\ufe0f?[\U0001f3fb-\U0001f3ff]?"
)

GSM_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED: Final = frozenset("\f^{}\\[~]|€")
"""The default alphabet and its extension, whose signs take two places (3GPP TS 23.038, 6.2.1)."""
GSM_PLACES: Final = 160
UCS2_PLACES: Final = 70
"""What one message holds: 140 octets, of seven bits or of sixteen a place (3GPP TS 23.040)."""

FOLDER: Final = Path(__file__).parent


def units(text: str, counting: Counting) -> int:
    """Returns the length of a text by one of the rules.

    >>> [units("寝袋 zzz", rule) for rule in ("characters", "double_width", "gbk", "x", "sms")]
    [6, 8, 8, 8, 14]
    """
    match counting:
        case "characters":
            return len(text)
        case "double_width":
            return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
        case "gbk":
            return sum(1 if c.isascii() else 2 for c in text)
        case "x":
            return _on_x(text)
        case "sms":
            return _in_message(text)


def _in_message(text: str) -> int:
    """Returns how much of a message's 160 places a text takes, in whichever alphabet it needs."""
    if all(c in GSM_BASIC or c in GSM_EXTENDED for c in text):
        return sum(1 + (c in GSM_EXTENDED) for c in text)
    places = len(text.encode("utf-16-le")) // 2
    return math.ceil(places * GSM_PLACES / UCS2_PLACES)


def _on_x(text: str) -> int:
    """Every link counts 23, every emoji 2, however many code points it takes."""
    text = unicodedata.normalize("NFC", text)
    text, links = LINK.subn("", text)
    text, emoji = EMOJI.subn("", text)
    weights = (
        1 if any(first <= ord(c) <= last for first, last in SINGLE_ON_X) else 2 for c in text
    )
    return links * LINK_ON_X + emoji * 2 + sum(weights)


class Asset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of piece that a creative of the channel has.

    Attributes:
        name: what it is called in a creative's parts.
        form: `line` is a headline of a few words, `sentence` says more; `brand` is the brief's
            own brand, which nobody writes anew.
        max_units: the longest that it may be, as the channel counts.
        least: the fewest that a creative must have.
        most: the most that it may have.
        write: how many are written for one creative, between the two.
        one_within: one of them has to be this short, where the platform asks for that.
        claims: whether the brief's required claims are added to this piece.
        hard: whether the platform refuses what is longer; else it accepts it and cuts it off.
        source: where the limits are from: an address, and what it says where it is no hard limit.
    """

    name: str
    form: Literal["line", "sentence", "brand"]
    max_units: Count
    least: Count = 1
    most: Count = 1
    write: Count = 1
    one_within: Count | None = None
    claims: bool = False
    hard: bool = True
    source: str

    def __post_init__(self) -> None:
        if not self.least <= self.write <= self.most:
            raise ValueError(f"{self.name}: write is {self.write}; {self.least} to {self.most}")

    def part_names(self) -> tuple[str, ...]:
        """Returns the names of a creative's parts that are of this kind.

        >>> load_channel("meta").assets[0].part_names()
        ('primary_text',)
        """
        if self.most == 1:
            return (self.name,)
        return tuple(f"{self.name}_{number}" for number in range(1, self.write + 1))


class Detail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes with the texts of an ad of the channel, beside them (see `AdDetails`).

    Attributes:
        name: the field.
        most: how many there may be; of pins, the number of positions of the asset `of`.
        max_units: the longest that one may be, as the channel counts.
        values: those that the platform knows, any if empty.
        of: of pins, the asset that is pinned.
        source: where this is from.
    """

    name: Literal["final_url", "display_path", "call_to_action", "image", "pins"]
    most: Count = 1
    max_units: Count | None = None
    values: tuple[str, ...] = ()
    of: str | None = None
    source: str


class Channel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one creative of the channel is made of.

    `creatives` is how many creatives are written unless told otherwise; `details` is what an ad
    has beside its texts.
    """

    name: str
    title: str
    counting: Counting
    creatives: Count = 20
    checked: str
    assets: tuple[Asset, ...]
    details: tuple[Detail, ...] = ()

    def __post_init__(self) -> None:
        if sum(asset.claims for asset in self.assets) != 1:
            raise ValueError(f"{self.name}: exactly one asset has claims: true")

    def units(self, text: str) -> int:
        """Returns how long a text is, as the channel counts.

        >>> load_channel("google_rsa").units("寝袋 zzz")
        8
        """
        return units(text, self.counting)

    def problem_with(self, ad: AdDetails) -> str | None:
        """Returns why an ad of the channel cannot have these details, None if it can.

        >>> load_channel("google_rsa").problem_with(AdDetails(image="shoe.png"))
        'has image, which a Google responsive search ad has not'
        """
        for name in ("final_url", "display_path", "call_to_action", "image", "pins"):
            value = getattr(ad, name)
            known = [detail for detail in self.details if detail.name == name]
            if value and not known:
                return f"has {name}, which a {self.title} has not"
            if name == "pins" or not value:
                continue
            [detail] = known
            values = value if isinstance(value, tuple) else (value,)
            why = self._beyond(detail, values)
            if why is not None:
                return why
        return self._wrong_pin(ad.pins)

    def _beyond(self, detail: Detail, values: Sequence[str]) -> str | None:
        if len(values) > detail.most:
            return f"{detail.name} has {len(values)} values; {detail.most} at most"
        for value in values:
            if detail.max_units is not None and self.units(value) > detail.max_units:
                return f"{detail.name} {value!r} is longer than {detail.max_units} characters"
            if detail.values and value not in detail.values:
                return f"{detail.name} is {value!r}; expected one of {', '.join(detail.values)}"
        return None

    def _wrong_pin(self, pins: Mapping[str, int]) -> str | None:
        positions = {detail.of: detail.most for detail in self.details if detail.name == "pins"}
        for part, position in pins.items():
            asset = self.asset_of(part)
            most = 0 if asset is None else positions.get(asset.name, 0)
            if position > most:
                return f"{part} is pinned at {position}; expected 1 to {most}"
        return None

    def asset_of(self, part: str) -> Asset | None:
        """Returns the asset that a creative's part is of, None if the channel has none such.

        >>> load_channel("google_rsa").asset_of("headline_3").max_units
        30
        """
        return next((asset for asset in self.assets if part in asset.part_names()), None)


@cache
def channel_names() -> tuple[str, ...]:
    """Returns the names of all channels, in alphabetical order.

    >>> "google_rsa" in channel_names()
    True
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


# A channel is read from a file that comes with the package and does not change.
@cache
def load_channel(name: str) -> Channel:
    """Returns the channel of this name.

    Raises:
        ChannelUnknown: there is none; the message names those that there are.
    """
    if name not in channel_names():
        raise ChannelUnknown(
            f"channel {name!r} is unknown; expected one of {', '.join(channel_names())}"
        )
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return msgspec.convert(content, Channel, strict=True)
