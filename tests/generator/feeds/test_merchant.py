import pytest

from generator.errors import FeedError
from generator.feeds.merchant import read_feed
from tests.readme import ROOT

SHOP = ROOT / "generator/feeds/examples/shop.tsv"
RSS = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>
<title>Example</title><link>https://example.org</link>
<item><g:id>TV_1</g:id><g:title>A <![CDATA[<b>small</b>]]> screen &amp; stand</g:title>
<g:description>Bright.&lt;br&gt;Light.</g:description><g:link>https://example.org/tv</g:link>
<g:image_link>https://example.org/a.jpg</g:image_link>
<g:additional_image_link>https://example.org/b.jpg</g:additional_image_link>
<g:additional_image_link>https://example.org/c.jpg</g:additional_image_link>
<g:price>15.00 USD</g:price><g:shipping><g:price>1 USD</g:price></g:shipping></item>
<item><title>轻量跑鞋</title><g:id>S-2</g:id><link>https://example.org/s</link></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<title>Example</title>
<entry><g:id>A</g:id><title>Lamp</title><link href="https://example.org/lamp"/></entry></feed>"""
LAUGHS = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>
<rss><channel><item><id>&b;</id><title>x</title></item></channel></rss>"""
FILES = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>
<rss><channel><item><id>1</id><title>&f;</title></item></channel></rss>"""


def fed(tmp_path, text, encoding="utf-8"):
    file = tmp_path / "feed"
    file.write_bytes(text.encode(encoding))
    return read_feed(file)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_read_by_its_header(tmp_path, encoding):
    found = fed(tmp_path, SHOP.read_text(), encoding)
    assert [item.id for item in found.items] == ["B-22", "L-1", "K-7"]
    assert found.items[1].attributes["sale_price"] == "39.00 EUR"
    assert "material" not in found.items[1].attributes
    assert found.bad == []


def test_attributes_may_be_written_with_spaces(tmp_path):
    [item] = fed(tmp_path, "ID\tTitle\timage link\n1\tTea\thttps://a.b/c.png\n").items
    assert item.attributes["image_link"] == "https://a.b/c.png"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_rss_is_read_whatever_of_it_is_in_the_namespace(tmp_path, encoding):
    one, two = fed(tmp_path, RSS, encoding).items
    assert one.attributes["title"] == "A small screen & stand"
    assert one.attributes["description"] == "Bright. Light."
    assert one.attributes["price"] == "15.00 USD"
    assert one.attributes["additional_image_link"].endswith("b.jpg")
    assert two.attributes == {"id": "S-2", "title": "轻量跑鞋", "link": "https://example.org/s"}


def test_atom_is_read(tmp_path):
    [item] = fed(tmp_path, ATOM).items
    assert item.attributes["link"] == "https://example.org/lamp"


@pytest.mark.parametrize("text", [LAUGHS, FILES])
def test_entities_are_refused(tmp_path, text):
    with pytest.raises(FeedError, match="a document type or entities"):
        fed(tmp_path, text)


def test_items_that_are_none_are_told_and_the_others_read(tmp_path):
    text = "id\ttitle\n1\tTea\n\tNameless\n3\t\n1\tTea again\n5\tCups\n"
    found = fed(tmp_path, text)
    assert [item.id for item in found.items] == ["1", "5"]
    assert [(bad.number, bad.why) for bad in found.bad] == [
        (2, "has no id"), (3, "has no title"), (4, "has the id '1' of an earlier one"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a\tb\n1\t2\n", "no header was found; expected a row with the columns id and title"),
        ("", "no header was found"),
        ("<rss><channel>", "not well-formed XML"),
        ("<rss><channel></channel></rss>", "no product is in it"),
        ("id\ttitle\n1\t\n", "no product is in it; item 1 has no title"),
    ],
)
def test_what_is_no_feed_is_told(tmp_path, text, why):
    with pytest.raises(FeedError, match=why):
        fed(tmp_path, text)


def test_a_feed_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FeedError, match="cannot be read"):
        read_feed(tmp_path / "gone.xml")


def test_a_large_feed_is_read_through(tmp_path):
    items = "".join(f"<item><g:id>{n}</g:id><title>Item {n}</title></item>" for n in range(5000))
    text = f'<rss xmlns:g="http://base.google.com/ns/1.0"><channel>{items}</channel></rss>'
    assert len(fed(tmp_path, text).items) == 5000
