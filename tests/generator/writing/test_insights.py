import msgspec
import pytest
from msgspec import Raw

from generator.brief.schema import Brief, Segment
from generator.writing.insights import (
    LEAST_CLICKS_UNNAMED,
    ImpressionReader,
    SeenText,
    SegmentText,
    across_segments,
    liked,
    with_insights,
)
from generator.writing.insights import Impression as Seen
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.generator.shown import interaction, message

WARM, DULL = "Happy warm mornings", "A bag of beans"


def crowd(people, *, liking=WARM, other=DULL, shows=4):
    """Returns impressions to so many people, who click what they like half of the time."""
    return [
        SeenText(f"u{person}" if people else "", text, text == liking and turn % 2 == 0)
        for person in range(people)
        for turn in range(shows)
        for text in (liking, other)
    ]


def test_what_many_people_clicked_is_said_in_words():
    words, tone = liked(crowd(30))
    assert words.startswith("clicked on ")
    assert set(words.removeprefix("clicked on ").split(", ")) == {"happy", "warm", "mornings"}
    assert tone == "likes a cheerful tone"


def test_a_sober_liking_is_said_too():
    assert "likes a sober tone" in liked(crowd(30, liking=DULL, other=WARM))


def test_nothing_is_said_of_a_small_group():
    assert liked(crowd(19)) == ()
    assert liked(crowd(20)) != ()


def test_one_person_s_many_clicks_say_nothing():
    assert liked([SeenText("u", WARM, True)] * 500 + [SeenText("u", DULL, False)] * 500) == ()


def test_a_word_that_few_people_stand_behind_is_not_said():
    rare = [SeenText(f"u{i}", "Happy warm unicorns", True) for i in range(19) for _ in range(9)]
    assert "unicorns" not in " ".join(liked(crowd(30) + rare))


def test_where_people_are_not_named_more_clicks_are_needed():
    def unnamed(clicks):
        return [SeenText("", WARM, True)] * clicks + [SeenText("", DULL, False)] * 400

    assert liked(unnamed(LEAST_CLICKS_UNNAMED - 1)) == ()
    assert liked(unnamed(LEAST_CLICKS_UNNAMED)) != ()


def test_what_is_clicked_no_more_than_the_rest_is_not_said():
    even = [SeenText(f"u{i}", text, i % 2 == 0) for i in range(200) for text in (WARM, DULL)]
    assert liked(even) == ()


TEXTS = {"warm": WARM, "dull": DULL}


def impression(context, creative_id, rewarded):
    return Seen(Raw(msgspec.json.encode(context)), creative_id, rewarded)


def test_each_segment_learns_from_its_own_contexts_alone():
    brief = Brief(
        product="coffee",
        segments=(
            Segment(name="a", who="people on phones", context={"device.kind": "mobile"}),
            Segment(name="b", who="people at desks", context={"device.kind": "desktop"}),
            Segment(name="c", who="everybody", behaviour=("bought twice",)),
        ),
    )
    seen = [
        impression({"device": {"kind": kind}, "user": f"{kind}{i}"}, name, name == likes)
        for kind, likes in (("mobile", "warm"), ("desktop", "dull"))
        for i in range(40)
        for name in ("warm", "dull")
    ]
    seen.append(impression({"device": "mobile"}, "gone", True))
    mobile, desktop, everybody = with_insights(brief, seen, TEXTS).segments
    assert "warm" in mobile.behaviour[0]
    assert "beans" in desktop.behaviour[0]
    assert everybody.behaviour == ("bought twice",)


def test_a_brief_without_contexts_stays_as_it_is():
    brief = Brief(product="coffee", segments=(Segment(name="a", who="people"),))
    assert with_insights(brief, [], TEXTS) == brief


def shown(number, *, placement="home", status="closed", reward=0.0):
    context = Raw(b'{"n":%d}' % number)
    return message(
        interaction(
            number, ("warm",), 0, reward, placement=placement, context=context, status=status
        )
    )


@pytest.fixture
def log():
    opened = MemoryLog()
    create_topics(opened)
    return opened


def test_the_reader_follows_the_log_and_counts_each_decision_once(log):
    log.append([shown(0, status="provisional"), shown(1, reward=1.0)])
    log.append([shown(2, placement="away"), shown(3, status="corrected", reward=1.0)])
    reader = ImpressionReader(log)
    assert reader.impressions("home") == [Seen(Raw(b'{"n":1}'), "warm", True)]
    log.append([shown(4)])
    assert [bytes(seen.context) for seen in reader.impressions("home")] == [b'{"n":1}', b'{"n":4}']
    assert reader.impressions("nowhere") == []


def test_the_reader_begins_with_the_latest(log, monkeypatch):
    monkeypatch.setattr("generator.writing.insights.LATEST", 3)
    log.append([shown(number) for number in range(10)])
    assert [bytes(seen.context) for seen in ImpressionReader(log).impressions("home")] == [
        b'{"n":7}',
        b'{"n":8}',
        b'{"n":9}',
    ]


BRIGHT = "Lovely sunny mornings make happy people"
GLOOMY = "Terrible lonely nights are killing your hope"


def told(segment, text, code=None, times=20):
    return [SegmentText(segment, f"{text} {n}", code) for n in range(times)]


def concerns(texts):
    return {row.segment: row.concerns for row in across_segments(texts)}


def test_segments_that_are_treated_alike_raise_no_concern():
    found = across_segments([*told("young", BRIGHT), *told("old", BRIGHT)])
    assert [(row.segment, row.written, row.passed) for row in found] == [
        ("old", 20, 1),
        ("young", 20, 1),
    ]
    assert all(row.tone > 0.5 and row.concerns == () for row in found)


def test_a_segment_of_which_fewer_texts_pass_is_told():
    texts = [
        *told("young", BRIGHT),
        *told("old", BRIGHT, times=8),
        *told("old", BRIGHT, "grammar", 12),
    ]
    found = concerns(texts)
    assert found["young"] == ()
    assert found["old"] == ("40% of its texts pass; 100% of the others' do",)


def test_a_segment_that_is_spoken_to_in_a_gloomier_tone_is_told():
    mixed = [SegmentText("young", BRIGHT if n % 4 else GLOOMY, None) for n in range(20)]
    darker = [SegmentText("old", GLOOMY if n % 4 else BRIGHT, None) for n in range(20)]
    found = concerns([*mixed, *darker])
    assert found["young"] == ()
    assert "its tone is -" in found["old"][0]


def test_one_harmful_text_is_enough_to_be_told():
    found = concerns(
        [
            *told("young", BRIGHT, times=2),
            SegmentText("old", "Not for old people", "harm"),
            *told("old", BRIGHT, times=2),
        ]
    )
    assert found["old"] == ("1 of 3 texts were harmful or against the rules",)


def test_of_few_texts_and_of_one_segment_nothing_is_said():
    assert across_segments(told("young", GLOOMY)) == []
    assert (
        concerns([*told("young", BRIGHT, times=9), *told("old", GLOOMY, "grammar", 9)])["old"] == ()
    )


def test_words_of_scripts_without_spaces_are_told():
    [said] = liked(crowd(30, liking="周末跑步，轻装上阵", other="办公软件，高效协作"))
    assert "跑步" in said.removeprefix("clicked on ").split(", ")
