from generator.writing.insights import SegmentText, across_segments

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
