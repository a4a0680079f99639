"""An ad as a file has it, whichever platform the file is of.

Texts are by part, named as the channel names them; what a platform says beside them is `AdDetails`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from bandit.errors import FeatureError
from bandit.features.flatten import flatten
from generator.errors import AdsFileError
from streams.events import AdDetails, Creative, Lineage
from streams.events.fields import MAX_ID_LENGTH
from streams.events.placement import Caps

AdStatus: TypeAlias = Literal["proposed", "screened", "live", "paused", "retired", "rejected"]
Figure: TypeAlias = Annotated[int, Meta(ge=0, lt=2**53)]
PartText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=10_000)]
MOST_TOLD: Final = 20
"""How many bad rows an error tells of; more would scroll the first ones away."""


class Ad(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One ad of a file.

    Attributes:
        parts: its texts.
        ad: what goes with them.
        id: the creative's, None where the file has none.
        status: whether it is shown.
        impressions: how often the platform showed it, as far as the file says.
        clicks: how often it was clicked.
        features: what policies read, where they are not made from the text.
        caps: how often it may be shown.
        reason: why it was rejected or retired.
        lineage: where it came from.
    """

    parts: Annotated[
        dict[Annotated[str, Meta(min_length=1, max_length=64)], PartText],
        Meta(min_length=1, max_length=32),
    ]
    ad: AdDetails = AdDetails()
    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)] | None = None
    status: AdStatus = "live"
    impressions: Figure | None = None
    clicks: Figure | None = None
    features: Raw | UnsetType = UNSET
    caps: Caps | UnsetType = UNSET
    reason: str | None = None
    lineage: Lineage = Lineage()

    def identity(self) -> str:
        """Returns what tells its text and details from others: 16 hexadecimal digits."""
        return identity(self.parts, self.ad)

    def problem(self) -> str | None:
        """Returns what is wrong with it, None if nothing is."""
        blank = [name for name, text in self._texts() if not text.strip()]
        if blank:
            return f"{blank[0]} is blank; write something or leave it out"
        if self.features:
            try:
                flatten(self.features, namespace="action")
            except FeatureError as error:
                return str(error)
        if self.clicks is not None and self.impressions is None:
            return f"clicks is {self.clicks} and there are no impressions; give both or neither"
        if (self.clicks or 0) > (self.impressions or 0):
            return f"clicks is {self.clicks}, more than its {self.impressions} impressions"
        return self.ad.problem()

    def _texts(self) -> Iterator[tuple[str, str]]:
        yield from self.parts.items()
        yield from (("display_path", path) for path in self.ad.display_path)
        yield from (("ad.booked", name) for name in self.ad.booked)
        for name in ("call_to_action", "image"):
            yield name, getattr(self.ad, name) or name

    @classmethod
    def of(cls, creative: Creative) -> Ad:
        """Returns a creative of the catalogue as a file has it."""
        return cls(
            parts=creative.parts,
            ad=creative.ad or AdDetails(),
            id=creative.id,
            status=creative.status,
            features=creative.features,
            caps=creative.caps,
            reason=creative.reason,
            lineage=creative.lineage,
        )


class AdsFile(NamedTuple):
    """What a file holds: its ads, each with the number of its row, and what was passed over.

    `skipped` counts rows that are no ads (campaigns, keywords, sums) by what they are; `left_out`
    are columns of results that nothing here reads.
    """

    ads: list[tuple[int, Ad]]
    skipped: Mapping[str, int] = {}
    left_out: tuple[str, ...] = ()


class RowError(Exception):
    """What is wrong with one row."""


def identity(parts: Mapping[str, str], ad: AdDetails) -> str:
    """Returns what tells texts and details from others: 16 hexadecimal digits."""
    data = msgspec.json.encode((parts, ad), order="deterministic")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def read_rows(
    name: str, rows: Iterable[tuple[int, Any]], made: Callable[[Any], Ad | None]
) -> list[tuple[int, Ad]]:
    """Returns the ads that `made` makes of rows, each with its number.

    Args:
        name: of the file, for the message.
        rows: numbered.
        made: returns a row's ad, or None for a row that is none; raises `RowError`.

    Raises:
        AdsFileError: rows that cannot be read; each is named with its number and why.
    """
    found: list[tuple[int, Ad]] = []
    bad: list[str] = []
    seen = 0
    for number, row in rows:
        seen += 1
        try:
            ad = made(row)
        except RowError as error:
            bad.append(f"row {number}: {error}")
            continue
        if ad is None:
            continue
        problem = ad.problem()
        if problem is None:
            found.append((number, ad))
        else:
            bad.append(f"row {number}: {problem}")
    if bad:
        more = [f"and {len(bad) - MOST_TOLD} more"] if len(bad) > MOST_TOLD else []
        told = "\n".join([*bad[:MOST_TOLD], *more])
        raise AdsFileError(
            f"{name}: {len(bad)} of {seen} rows cannot be read, and nothing was taken in; mend "
            f"these, or take them out:\n{told}"
        )
    return found


_GROUPED: Final = re.compile(r"\d{1,3}(?:[., \u00a0\u202f']\d{3})+")
_NOTHING: Final = frozenset({"", "-", "--", "—", "[]"})


def whole(text: str, column: str) -> int | None:
    """Returns the number in a cell, None in one that says there is none.

    >>> whole("12,345", "clicks"), whole("1.234", "clicks"), whole("--", "clicks")
    (12345, 1234, None)

    Raises:
        RowError: it is no whole number.
    """
    text = text.strip().strip('"')
    if text in _NOTHING:
        return None
    digits = re.sub(r"\D", "", text) if _GROUPED.fullmatch(text) else text.removesuffix(".0")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 15:
        raise RowError(f"{column} is {text[:40]!r}; expected a whole number, such as 1200")
    return int(digits)


def cell(text: str) -> str | None:
    """Returns a cell's text, None for one that is blank."""
    return text if text.strip() else None


def made_ad(**fields: Any) -> Ad:
    """Returns the ad with these fields, checked.

    Raises:
        RowError: a field that cannot be.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(fields), Ad, strict=True)
    except msgspec.ValidationError as error:
        raise RowError(str(error).replace("$.", "")) from error


def in_numbers(parts: Mapping[str, str], name: str, most: int) -> Sequence[str]:
    """Returns the texts of one kind of piece by number, empty where there is none.

    >>> in_numbers({"headline_2": "Hi", "text": "x"}, "headline", 3)
    ['', 'Hi', '']
    """
    return [parts.get(f"{name}_{number}", "") for number in range(1, most + 1)]
