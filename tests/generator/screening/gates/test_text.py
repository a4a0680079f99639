import pytest

from generator.screening.gates import text as gates
from tests.generator.screening.gates.conftest import BRIEF


@pytest.mark.parametrize("text", ["", "   ", "2024", "?!", "«»"])
def test_empty_refuses_what_has_no_word(text):
    assert gates.empty(text).why


def test_empty_lets_a_word_through():
    assert gates.empty("Tea").why is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Wake up in Stockholm, rested", "28 characters; at most 20"),
        ("Stockholm", "1 word; at least 2"),
    ],
)
def test_length_refuses_what_is_too_long_or_a_lone_word(text, why):
    assert why in gates.length(text, 20, "characters", 2).why


def test_length_lets_through_what_just_fits():
    assert gates.length("Wake up in Stockholm", 20, "characters", 2).why is None


@pytest.mark.parametrize(
    "text",
    [
        "Take your coffee to the",
        "Sleep on it when you",
        "Journeys that",
        "Sleep well,",
        "A train for two -",
        "A night (in your own cabin",
        "Nights and",
        "Where journeys are",
    ],
)
def test_fragment_refuses_what_breaks_off(text):
    assert gates.fragment(text).why


@pytest.mark.parametrize(
    "text", ["The nights you dreamed of", "A place to sleep in", "A night (for two)", "For you?"]
)
def test_fragment_lets_whole_lines_through(text):
    assert gates.fragment(text).why is None


@pytest.mark.parametrize(
    "text",
    [
        "Headline: sleep well",
        "Sleep | Audience",
        "tone : warm",
        "product: a train",
        "Breakfast in bed, in a travel magazine",
        "Warm and plain nights",
    ],
)
def test_leaked_refuses_pieces_of_the_prompt(text):
    assert "from the " in gates.leaked(text, BRIEF).why


@pytest.mark.parametrize(
    "text", ["A product for your audience", "Travel light", "Warm nights", "Read no magazine"]
)
def test_leaked_lets_the_same_words_through_in_a_sentence(text):
    assert gates.leaked(text, BRIEF).why is None


@pytest.mark.parametrize(
    "text",
    [
        "See https://x.y",
        "Go to www.nordlys",
        "nordlys.com has it",
        "<b>Sleep</b>",
        "**Sleep** well",
        "Sleep [here](there)",
        "Sleep #well",
        "ask @nordlys",
        "Sleep\\nwell",
        "Bed &amp; breakfast",
    ],
)
def test_markup_refuses_writing_for_machines(text):
    assert gates.markup(text).why


@pytest.mark.parametrize("text", ["Bed & breakfast", "Rest. Compare it yourself", "Less than 1 h"])
def test_markup_lets_plain_text_through(text):
    assert gates.markup(text).why is None


@pytest.mark.parametrize(
    "text",
    ["Sleep well 😴", "Спи хорошо", "Sleep*", "Sleep_well", "{sleep}", "Wow!!", "Sleep ,well"],
)
def test_characters_refuses_what_is_not_plain_latin_text(text):
    assert gates.characters(text, latin=True).why


@pytest.mark.parametrize("text", ["Café für zwei, €49 – don't wait!", "Half-price? (Really.)"])
def test_characters_lets_latin_text_with_plain_punctuation_through(text):
    assert gates.characters(text, latin=True).why is None


@pytest.mark.parametrize(
    "text", ["Coffee without the coffee", "Journeys are a journey", "More tea, More TEA"]
)
def test_repeats_refuses_a_telling_word_that_comes_twice(text):
    assert "twice" in gates.repeats(text).why


@pytest.mark.parametrize(
    "text", ["Your night, your way", "More sleep, more of it", "As it is, so it is"]
)
def test_repeats_lets_small_words_come_twice(text):
    assert gates.repeats(text).why is None


def test_length_counts_as_the_channel_does():
    assert gates.length("寝袋 zzz", 6, "characters", 1).why is None
    assert "8 units" in gates.length("寝袋 zzz", 6, "double_width", 1).why


def test_characters_of_other_scripts_pass_where_the_language_has_them():
    assert gates.characters("Свежий кофе", latin=False).why is None
    assert gates.characters("Свежий кофе", latin=True).why
    assert gates.characters("Fresh 😍", latin=False).why
    assert gates.characters("Fresh 😍", latin=True, extra="😍").why is None


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("A cheap bed", "cheap"),
        ("CHEAP beds", "cheap"),
        ("Two flights home", "flight"),
        ("No money-back here", "money-back"),
        ("A best friend", "best friend"),
        ("50% off", "50%"),
    ],
)
def test_never_use_refuses_words_and_phrases_in_any_case_and_plural(text, phrase):
    assert repr(phrase) in gates.ruled_out(text, ["other", phrase], ()).why


@pytest.mark.parametrize(("text", "phrase"), [("A cheaper bed", "cheap"), ("Scunthorpe", "thorp")])
def test_never_use_looks_at_whole_words(text, phrase):
    assert gates.ruled_out(text, [phrase], [phrase]).why is None
