"""Google Merchant feeds, as TSV or as XML: an item is its attributes by name.

Names, TSV and XML are those of https://support.google.com/merchants/answer/7052112; RSS 2.0 and
Atom carry the namespace http://base.google.com/ns/1.0 (https://support.google.com/merchants/
answer/14987622). XML is read without entities or document types, which can stand for any size.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from generator.errors import AdsFileError, FeedError
from generator.platforms.tables import Table, decoded, read_table

NEEDED: Final = ("id", "title")
ATTRIBUTES: Final = frozenset(
    """
    id title structured_title short_title description structured_description link mobile_link
    canonical_link image_link additional_image_link lifestyle_image_link virtual_model_link
    video_link availability availability_date expiration_date disclosure_date cost_of_goods_sold
    price sale_price sale_price_effective_date auto_pricing_min_price maximum_retail_price
    unit_pricing_measure unit_pricing_base_measure installment subscription_cost loyalty_program
    loyalty_points google_product_category product_type brand gtin mpn identifier_exists condition
    adult multipack is_bundle certification energy_efficiency_class min_energy_efficiency_class
    max_energy_efficiency_class age_group color gender material pattern size size_type size_system
    item_group_id product_length product_width product_height product_weight product_detail
    product_highlight ads_redirect ads_grouping ads_labels custom_label_0 custom_label_1
    custom_label_2 custom_label_3 custom_label_4 promotion_id external_seller_id
    excluded_destination included_destination shopping_ads_excluded_country pause shipping
    shipping_label shipping_weight shipping_length shipping_width shipping_height
    ships_from_country max_handling_time min_handling_time handling_cutoff_time
    transit_time_label minimum_order_value free_shipping_threshold tax tax_category
    return_policy_label sell_on_google_quantity pickup_method pickup_sla link_template
    mobile_link_template quantity store_code
    """.split()  # noqa: SIM905
)
"""What an item may have by the specification; all but `id` and `title` may be wanting."""
MOST_ITEMS: Final = 100_000
_ITEM: Final = frozenset({"item", "entry"})
_TAG: Final = re.compile(r"<[^>]*>")


class Item(NamedTuple):
    """One product: its number in the feed, counted from 1, and its attributes."""

    number: int
    attributes: dict[str, str]

    @property
    def id(self) -> str:
        """The shop's id."""
        return self.attributes["id"]


class BadItem(NamedTuple):
    """An item of which no brief can be made, and why."""

    number: int
    id: str
    why: str


class Feed(NamedTuple):
    """What a feed holds: items, those that are none, and a table's columns, even empty ones."""

    items: list[Item]
    bad: list[BadItem]
    columns: frozenset[str] = frozenset()


def read_feed(path: Path, encoding: str | None = None) -> Feed:
    """Returns the items of a feed, XML if it begins so, else a table.

    Raises:
        FeedError: the file cannot be read, or has no items at all.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FeedError(f"{path}: cannot be read: {error}") from error
    is_xml = data.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\x00").startswith((b"<", b"\x00<"))
    if is_xml:
        feed = _checked(_xml(path, data))
    else:
        table = _table(path, data, encoding)
        feed = _checked(_attributes_of_rows(table))
        feed = feed._replace(columns=frozenset(map(_name, table.columns)))
    if not feed.items:
        first = f"; item {feed.bad[0].number} {feed.bad[0].why}" if feed.bad else ""
        raise FeedError(f"{path}: no product is in it{first}")
    return feed


def _table(path: Path, data: bytes, encoding: str | None) -> Table:
    try:
        text = decoded(path, data, encoding)
        return read_table(
            path, text, lambda names: set(NEEDED) <= names, "the columns id and title"
        )
    except AdsFileError as error:
        raise FeedError(str(error)) from error


def _attributes_of_rows(table: Table) -> Iterator[dict[str, str]]:
    for _, row in table.rows:
        yield {_name(column): text for column, text in row.items() if text.strip()}


def _xml(path: Path, data: bytes) -> Iterator[dict[str, str]]:
    """Yields the items of RSS or Atom, each let go once it is read."""
    try:
        for _, element in iterparse(io.BytesIO(data), forbid_dtd=True):
            if _local(element.tag) in _ITEM:
                yield dict(_attributes(element))
                element.clear()
    except DefusedXmlException as error:
        raise FeedError(
            f"{path}: has a document type or entities ({error}), which no feed needs; take them out"
        ) from error
    except ParseError as error:
        raise FeedError(f"{path}: not well-formed XML: {error}") from error


def _attributes(element: Iterable[object]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for child in element:
        name = _name(_local(child.tag))  # type: ignore[attr-defined]
        text: str = child.text or child.get("href", "")  # type: ignore[attr-defined]
        # Of what comes several times, such as further pictures, the first counts.
        if text.strip() and name not in seen:
            seen.add(name)
            yield name, text


def _local(tag: object) -> str:
    """Returns an element's name without its namespace."""
    return str(tag).rpartition("}")[2]


def _name(column: str) -> str:
    """Returns an attribute's name as the specification has it.

    >>> _name("Image link"), _name("g:image_link")
    ('image_link', 'image_link')
    """
    return re.sub(r"\s+", "_", column.strip().removeprefix("g:")).casefold()


def _checked(found: Iterable[dict[str, str]]) -> Feed:
    items: list[Item] = []
    bad: list[BadItem] = []
    seen: set[str] = set()
    for number, attributes in enumerate(found, 1):
        if number > MOST_ITEMS:
            raise FeedError(f"more than {MOST_ITEMS:,} products; split the feed")
        clean = {name: plain(text) for name, text in attributes.items()}
        item_id = clean.get("id", "")
        missing = [name for name in NEEDED if not clean.get(name)]
        if missing:
            bad.append(BadItem(number, item_id, f"has no {missing[0]}"))
        elif item_id in seen:
            bad.append(BadItem(number, item_id, f"has the id {item_id!r} of an earlier one"))
        else:
            seen.add(item_id)
            items.append(Item(number, clean))
    return Feed(items, bad)


def plain(text: str) -> str:
    """Returns a text without markup, on one line.

    >>> plain("<p>Waxed &amp; <b>light</b></p>  for rain")
    'Waxed & light for rain'
    """
    without = _TAG.sub(" ", text) if "<" in text else text
    return " ".join(html.unescape(without).split())
