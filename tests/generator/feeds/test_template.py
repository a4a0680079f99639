import pytest

from generator.brief.schema import load_brief
from generator.errors import BriefError, FeedError
from generator.feeds.merchant import Item, read_feed
from generator.feeds.template import check_names, read_template, shortened
from streams.events import AdDetails
from tests.readme import ROOT

EXAMPLES = ROOT / "generator/feeds/examples"
ITEM = Item(1, {"id": "1", "title": "tea", "price": "3 EUR", "link": "https://a.b"})


def template(tmp_path, text):
    file = tmp_path / "template.yaml"
    file.write_text(text)
    return read_template(file)


def test_the_packaged_template_makes_a_brief_of_each_item():
    found = read_template(EXAMPLES / "template.yaml")
    feed = read_feed(EXAMPLES / "shop.tsv")
    check_names(found, feed.items)
    backpack, lamp, _ = [found.brief(item) for item in feed.items]
    assert backpack.product == "a waxed canvas backpack"
    assert backpack.facts == ("Fits a 15 inch laptop. Waterproof.", "made for the ride to work")
    assert "sale price" not in backpack.attributes
    assert lamp.attributes["sale price"] == "39.00 EUR"
    assert lamp.facts == ("Warm light for late pages. Dims by touch.",)
    assert lamp.ad.final_url == "https://example.org/l-1"
    assert lamp.ad.image == "https://example.org/l-1.jpg"


def test_a_template_is_a_good_brief_itself():
    assert load_brief(EXAMPLES / "template.yaml").product == "{title}"


def test_what_an_item_has_not_is_left_out_where_it_is_named(tmp_path):
    facts = 'facts: ["{gone}", always, "{id} and {gone}"]'
    text = f'product: "{{title}}, {{Price}}"\n{facts}\nbrand: "{{gone}}"\n'
    brief = template(tmp_path, text).brief(ITEM)
    assert (brief.product, brief.facts, brief.brand) == ("tea, 3 EUR", ("always",), None)


def test_an_item_without_a_product_is_told(tmp_path):
    with pytest.raises(BriefError, match="product: nothing is left of it"):
        template(tmp_path, 'product: "{color}"\n').brief(ITEM)


def test_a_misspelt_name_is_told_with_those_that_there_are(tmp_path):
    found = template(tmp_path, 'product: "{titel}"\n')
    with pytest.raises(FeedError, match="titel}, which no item has; they have id, link, pr"):
        check_names(found, [ITEM])


ORDINARY = """\
<rss xmlns:g="http://base.google.com/ns/1.0"><channel>
<item><g:id>1</g:id><title>tea</title><link>https://a.b</link></item>
</channel></rss>
"""


@pytest.mark.parametrize(
    "text", ["id\ttitle\tprice\n1\ttea\t3 EUR\n", "id,title,brand\n1,tea,Ada\n", ORDINARY]
)
def test_the_packaged_template_takes_feeds_without_optional_attributes(tmp_path, text):
    file = tmp_path / "feed"
    file.write_text(text)
    found, feed = read_template(EXAMPLES / "template.yaml"), read_feed(file)
    check_names(found, feed.items, feed.columns)
    brief = found.brief(feed.items[0])
    assert brief.product == "tea"
    assert not {"colour", "material", "sale price"} & set(brief.attributes)


def test_a_column_of_ones_own_may_be_empty(tmp_path):
    file = tmp_path / "feed.tsv"
    file.write_text("id\ttitle\tOur Warranty\n1\ttea\t\n")
    found = template(tmp_path, 'product: "{title}"\nfacts: ["{our warranty}"]\n')
    feed = read_feed(file)
    check_names(found, feed.items, feed.columns)
    with pytest.raises(FeedError, match=r"colour}, which no item has; .* has no such attribute"):
        check_names(template(tmp_path, 'product: "{colour}"\n'), feed.items, feed.columns)


def test_a_template_that_is_no_object_is_told(tmp_path):
    with pytest.raises(BriefError, match="is no brief"):
        template(tmp_path, "[1]\n")
    with pytest.raises(BriefError, match="produkt"):
        template(tmp_path, "produkt: x\nproduct: y\n").brief(ITEM)


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("Light. Dry.", 20, "Light. Dry."),
        ("Light. Dry. Made of wax.", 14, "Light. Dry."),
        ("轻便。透气。适合长跑。", 7, "轻便。透气。"),
        ("made of waxed canvas", 12, "made of"),
        ("x" * 30, 12, "x" * 12),
    ],
)
def test_long_texts_keep_whole_sentences(text, most, kept):
    assert shortened(text, most).replace(" ", "") == kept.replace(" ", "")
    assert len(shortened(text, most)) <= most


def test_an_item_s_ad_has_what_the_channel_has(tmp_path):
    item = Item(1, {"title": "tea", "link": "https://a.b/tea", "image_link": "https://a.b/t.png"})
    search = template(tmp_path, 'product: "{title}"\nenvironment: {channel: google_rsa}\n')
    assert search.brief(item).ad == AdDetails(final_url="https://a.b/tea")
    own = template(tmp_path, 'product: "{title}"\nad: {final_url: "{link}?utm_source=shop"}\n')
    assert own.brief(item).ad.final_url == "https://a.b/tea?utm_source=shop"
    odd = Item(1, {"title": "tea", "link": "javascript:x"})
    assert not template(tmp_path, 'product: "{title}"\n').brief(odd).ad
