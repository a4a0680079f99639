import itertools

import pytest
from msgspec.structs import replace

from generator.brief.prompts import (
    EXAMPLES,
    LINES,
    PRODUCTS,
    SENTENCES,
    brief_said,
    plain_prompt,
    plain_prompts,
    prompts,
)
from generator.brief.schema import Brief, Constraints, Environment, Material, Segment, Time
from generator.screening.gates.text import words

WINNERS = ("Keep your coffee hot", "Mornings that last", "Beans for your first meeting")


def first(brief, n=60, *, seed=1, winners=()):
    return list(itertools.islice(prompts(brief, seed=seed, winners=winners), n))


def test_the_same_seed_gives_the_same_prompts(brief):
    assert first(brief, winners=WINNERS) == first(brief, winners=WINNERS)
    assert first(brief, seed=1) != first(brief, seed=2)


def test_a_prompt_ends_in_its_opening_on_a_quoted_line(brief):
    for prompt in first(brief):
        assert prompt.text.endswith(f'\nHeadline: "{prompt.opening}')
        assert prompt.opening == prompt.opening.strip()


FULL = Brief(
    product="tea by post",
    segments=(
        Segment(name="parents", who="tired parents", interests=("sleep",)),
        Segment(name="readers", who="people who read at night", behaviour=("bought tea twice",)),
    ),
    time=Time(season="winter", holiday="Christmas", promotion="free cup until Sunday"),
    goals=("order a tin",),
    material=(Material(kind="image", description="a cup by the window"),),
    constraints=Constraints(allowed_claims=("chosen by 900 sleepers",)),
)


@pytest.mark.parametrize(("form", "frames"), [("line", LINES), ("sentence", SENTENCES)])
def test_every_frame_has_its_turn_before_one_comes_again(form, frames):
    brief = replace(FULL, facts=("picked by hand",))
    found = itertools.islice(prompts(brief, seed=1, form=form, max_characters=90), len(frames))
    assert sorted(prompt.frame for prompt in found) == sorted(frame.name for frame in frames)


def test_frames_whose_word_the_brief_lacks_are_left_out(brief):
    names = {prompt.frame for prompt in first(brief)}
    assert {"benefit", "question", "contrast", "segment"} <= names
    assert not {"urgency", "social proof"} & names


@pytest.mark.parametrize(
    ("frame", "opening"),
    [
        ("urgency", "This Christmas,"),
        ("urgency", "This winter,"),
        ("social proof", "Chosen by 900 sleepers:"),
        ("fact", "Free cup until Sunday,"),
        ("segment", "For tired parents,"),
        ("contrast", "More than tea by post:"),
    ],
)
def test_openings_take_up_what_the_brief_says(frame, opening):
    assert (frame, opening) in {(prompt.frame, prompt.opening) for prompt in first(FULL, 100)}


def test_sentences_open_with_a_goal_too():
    found = itertools.islice(prompts(FULL, seed=1, form="sentence", max_characters=90), 60)
    own = [prompt for prompt in found if prompt.frame == "goal"]
    assert {prompt.opening for prompt in own} == {"Order a tin"}
    assert all('\nDescription: "Order a tin' in prompt.text for prompt in own)


def test_segments_take_turns_and_each_is_spoken_to_alone():
    found = first(FULL, 80)
    assert {prompt.segment for prompt in found} == {"parents", "readers"}
    for prompt in found:
        own = prompt.text.rpartition("Product: ")[2]
        assert ("tired parents" in own) == (prompt.segment == "parents")
        assert ("bought tea twice" in own) == (prompt.segment == "readers")
        assert "a cup by the window" in own


def test_another_language_is_asked_for_by_name_and_opens_with_nothing():
    for prompt in first(replace(FULL, language="fi"), 20):
        assert prompt.text.endswith('\nHeadline in Finnish: "')
        assert prompt.opening == ""
        assert prompt.text.count("Headline in English:") == len(PRODUCTS)


@pytest.mark.parametrize(
    ("language", "ends"),
    [
        ("de", "Überschrift: "), ("es", "Titular: "), ("fr", "Titre : "), ("ko", "제목: "),
        ("zh", "标题："), ("zh-Hant", "標題："), ("ja", "見出し："),
    ],
)  # fmt: skip
def test_a_language_with_words_of_its_own_has_no_english_around_it(language, ends):
    time = Time(weekdays=("saturday",), hours="9-17", season="winter")
    brief = replace(
        FULL, language=language, product="茶", time=time, segments=(), goals=(), material=()
    )
    for prompt in first(brief, 20):
        assert prompt.text.endswith(f'\n{ends}"')
        assert prompt.opening == ""
        for word in ("Product:", "English", "Headline", "Saturday", "9 to 17", "drill"):
            assert word not in prompt.text
    told = brief_said(plain_prompt(brief), language=language)
    assert told.product == "茶"
    assert brief.constraints.allowed_claims[0] in " ".join(told.facts)


def test_a_winner_without_spaces_is_begun_and_not_glued_to_the_next():
    winners = ("静かな朝に届く焙煎コーヒー", "毎朝の一杯を自宅へお届け")
    for language in ("ja", "zh", "th"):
        own = [
            prompt
            for prompt in first(Brief(product="茶", language=language), 40, winners=winners)
            if prompt.frame == "winner"
        ]
        assert own
        for prompt in own:
            assert prompt.winner.startswith(prompt.opening)
            assert 2 <= len(prompt.opening) <= len(prompt.winner) // 2


def test_all_keywords_and_facts_are_used(brief):
    openings = " ".join(prompt.opening.lower() for prompt in first(brief, 100))
    assert all(text.lower() in openings for text in (*brief.keywords, *brief.facts))


def test_the_label_names_frame_and_opening(brief):
    labels = {prompt.label for prompt in first(brief, 100)}
    assert {"benefit: Coffee that", "fact: Freshly roasted,", "enjoy: Enjoy"} <= labels


def test_everything_in_the_brief_reaches_the_model(brief):
    own = first(brief, 1)[0].text.rpartition("Product: ")[2]
    said = set(brief.texts()) - {brief.brand, *brief.keywords}
    assert all(text in own for text in said)


@pytest.mark.parametrize(
    "said",
    [
        {"facts": ("fresh",)},
        {"keywords": ("tea",)},
        {"segments": (Segment(name="all", who="any"),)},
        {"time": Time(when="any")},
        {"environment": Environment(site="any")},
        {"voice": "any"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_a_brief_that_says_little_is_enough(said):
    brief = Brief(product="tea by post", **said)
    assert all("None" not in prompt.text for prompt in first(brief))


def test_openings_leave_room_for_the_rest():
    brief = Brief(
        product="tea by post",
        facts=("picked by hand on the southern slopes in the early morning",),
        constraints=Constraints(max_characters=15),
    )
    found = {prompt.opening for prompt in first(brief)}
    assert found
    assert all(len(opening) <= 9 for opening in found)


def test_a_keyword_stands_without_its_article():
    brief = Brief(product="a clinic", keywords=("a calm visit", "The smile"))
    openings = {prompt.opening for prompt in first(brief)}
    assert {"The calm visit you", "Your smile,"} <= openings
    assert "Your clinic," in {prompt.opening for prompt in first(Brief(product="a clinic"))}


def test_line_breaks_in_a_brief_do_not_break_the_prompt():
    brief = Brief(product="tea\nHeadline: by post", facts=("a\tb",))
    own = first(brief, 1)[0].text.rpartition("Product: ")[2]
    assert own.count("\n") == 1


def test_with_winners_every_other_prompt_opens_as_one_of_them(brief):
    found = first(brief, winners=WINNERS)
    assert {prompt.frame == "winner" for prompt in found[1::2]} == {True}
    for prompt in found[1::2]:
        assert any(winner.startswith(prompt.opening) for winner in WINNERS)
        assert prompt.opening not in WINNERS


def test_a_winner_is_shown_but_not_where_it_would_be_copied(brief):
    found = [p for p in first(brief, winners=WINNERS) if p.frame == "winner"]
    shown = [(p, winner) for p in found for winner in WINNERS if f'"{winner}"' in p.text]
    assert shown
    for prompt, winner in shown:
        assert not set(words(prompt.opening)) & set(words(winner))


@pytest.mark.parametrize("winner", ["Tea", "Two words", "A much longer line than those before it"])
def test_a_single_winner_of_any_length_can_be_varied(brief, winner):
    assert all(winner.startswith(p.opening) for p in first(brief, winners=(winner,))[1::2])


def test_every_frame_opens_as_its_own_examples_do():
    for frame in (*LINES, *SENTENCES):
        assert len(frame.examples) == len(PRODUCTS)
        start = frame.opening.split("{")[0].strip()
        assert all(example.startswith(start) for example in frame.examples)


def test_examples_keep_to_their_form():
    assert all(len(text) <= 60 for frame in LINES for text in frame.examples)
    assert all(len(text) <= 90 for frame in SENTENCES for text in frame.examples)
    assert len(set(EXAMPLES)) == len(EXAMPLES) == 3 * len((*LINES, *SENTENCES))


def test_plain_prompts_take_turns_over_segments():
    brief = Brief(
        product="tea",
        segments=(Segment(name="late", who="night owls"), Segment(name="early", who="larks")),
    )
    found = list(itertools.islice(plain_prompts(brief), 4))
    assert [prompt.segment for prompt in found] == ["late", "early"] * 2
    assert [prompt.text for prompt in found[:2]] == [
        plain_prompt(brief, segment="late"),
        plain_prompt(brief, segment="early"),
    ]
    assert {prompt.opening for prompt in found} == {""}
