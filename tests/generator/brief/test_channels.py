import pytest

from generator.brief.channels import channel_names, load_channel, units
from generator.errors import ChannelUnknown
from streams.events import AdDetails


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
    chinese = ("baidu_search", "douyin", "taobao", "tmall", "wechat_moments")
    assert set(channel_names()) == {*usual, *chinese, "linkedin", "sms", "tiktok"}


def test_the_limits_of_a_responsive_search_ad():
    headline, description = load_channel("google_rsa").assets
    assert (headline.least, headline.most, headline.max_units) == (3, 15, 30)
    assert (description.least, description.most, description.max_units) == (2, 4, 90)
    assert len(headline.part_names()) == headline.write


def test_an_unknown_channel_is_named_with_those_that_there_are():
    with pytest.raises(
        ChannelUnknown, match="'tv' is unknown; expected one of baidu_search, banner"
    ) as caught:
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


@pytest.mark.parametrize(
    ("text", "gbk", "sms"),
    [
        ("", 0, 0),
        ("Sleep well", 10, 10),
        ("Grüße, señor", 15, 12),
        ("寝袋", 4, 5),
        ("“新品”上市！", 14, 16),
        ("{5 € off}", 10, 12),
        ("5 € off — today", 17, 35),
        ("a" * 160, 160, 160),
        ("寝" * 70, 140, 160),
        ("寝" * 71, 142, 163),
        ("👾" * 35, 70, 160),
        ("don’t", 6, 12),
    ],
)
def test_texts_are_counted_as_chinese_platforms_and_phones_count(text, gbk, sms):
    assert units(text, "gbk") == gbk
    assert units(text, "sms") == sms


def test_details_name_assets_that_there_are_and_where_they_are_from():
    for channel in map(load_channel, channel_names()):
        names = {asset.name for asset in channel.assets}
        for detail in channel.details:
            assert detail.source.startswith("https://")
            assert (detail.name == "pins") == (detail.of in names)


@pytest.mark.parametrize(
    ("channel", "part", "longest"),
    [
        ("taobao", "title", "轻" * 30),
        ("tmall", "short_title", "轻" * 15),
        ("douyin", "title", "轻" * 29 + "ab"),
        ("baidu_search", "description_2", "轻" * 40),
        ("tiktok", "text", "轻" * 50),
        ("wechat_moments", "text", "轻" * 40),
        ("sms", "text", "轻" * 70),
    ],
)
def test_the_longest_text_of_a_channel_just_fits(channel, part, longest):
    found = load_channel(channel)
    asset = found.asset_of(part)
    assert found.units(longest) == asset.max_units < found.units(longest + "轻")


def test_a_post_in_chinese_may_be_half_as_long():
    channel = load_channel("x")
    [text] = channel.assets
    assert channel.units("寝" * 128) == text.max_units
    assert channel.units("a" * 256) == text.max_units


@pytest.mark.parametrize(
    ("channel", "details", "why"),
    [
        ("google_rsa", {"call_to_action": "Buy"}, "has call_to_action, which a Google"),
        ("google_rsa", {"display_path": ("x" * 16,)}, "is longer than 15 characters"),
        ("google_rsa", {"display_path": ("轻" * 8,)}, "is longer than 15 characters"),
        ("google_rsa", {"pins": {"headline_1": 4}}, "pinned at 4; expected 1 to 3"),
        ("google_rsa", {"pins": {"description_1": 3}}, "pinned at 3; expected 1 to 2"),
        ("meta", {"display_path": ("a", "b")}, "has 2 values; 1 at most"),
        ("meta", {"call_to_action": "Buy it"}, "expected one of NO_BUTTON"),
        ("wechat_moments", {"call_to_action": "Buy"}, "expected one of 了解更多"),
        ("sms", {"image": "a.png"}, "has image, which a Text message"),
        ("push", {"final_url": "https://a.b"}, "has final_url, which a Push"),
    ],
)
def test_details_that_a_channel_has_not_are_told(channel, details, why):
    assert why in load_channel(channel).problem_with(AdDetails(**details))


@pytest.mark.parametrize("name", channel_names())
def test_an_ad_without_details_is_fine_everywhere(name):
    assert load_channel(name).problem_with(AdDetails()) is None
