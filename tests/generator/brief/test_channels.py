import pytest

from generator.brief.channels import channel_names, load_channel, units
from generator.errors import ChannelUnknown


@pytest.mark.parametrize("name", channel_names())
def test_every_channel_is_whole_and_says_where_its_limits_are_from(name):
    channel = load_channel(name)
    assert channel.name == name
    parts = [part for asset in channel.assets for part in asset.part_names()]
    assert len(parts) == len(set(parts))
    for asset in channel.assets:
        assert asset.source.startswith("https://")
        assert all(channel.asset_of(part) is asset for part in asset.part_names())
    assert channel.asset_of("nothing") is None


def test_the_channels_of_the_usual_platforms_are_there():
    usual = ("banner", "email", "google_rsa", "meta", "performance_max", "push", "x")
    assert channel_names() == usual


def test_the_limits_of_a_responsive_search_ad():
    headline, description = load_channel("google_rsa").assets
    assert (headline.least, headline.most, headline.max_units) == (3, 15, 30)
    assert (description.least, description.most, description.max_units) == (2, 4, 90)
    assert len(headline.part_names()) == headline.write


def test_an_unknown_channel_is_named_with_those_that_there_are():
    with pytest.raises(ChannelUnknown, match="'tv' is unknown; expected one of banner") as caught:
        load_channel("tv")
    assert caught.value.code == "channel_unknown"


@pytest.mark.parametrize(
    ("text", "double_width", "on_x"),
    [
        ("", 0, 0),
        ("Sleep well", 10, 10),
        ("Grüße, señor", 12, 12),
        ("寝袋", 4, 4),
        ("ＡＢ", 4, 4),
        ("カタ", 4, 4),
        ("ｶﾀ", 2, 4),
        ("한국", 4, 4),
        ("don’t — wait…", 13, 14),
        ("cafe\u0301", 5, 4),
        ("👾", 2, 2),
        ("🙋🏽", 4, 2),
        ("👨‍👩‍👧‍👦", 11, 2),
        ("🇸🇪", 2, 2),
        ("1️⃣", 3, 2),
        ("see https://example.org/a?b=c now", 33, 31),
    ],
)
def test_texts_are_counted_as_the_platforms_count(text, double_width, on_x):
    assert units(text, "characters") == len(text)
    assert units(text, "double_width") == double_width
    assert units(text, "x") == on_x


def test_a_post_in_chinese_may_be_half_as_long():
    channel = load_channel("x")
    [text] = channel.assets
    assert channel.units("寝" * 128) == text.max_units
    assert channel.units("a" * 256) == text.max_units
