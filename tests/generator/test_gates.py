import pytest

from generator import gates
from generator.brief import Brief, Environment

BRIEF = Brief(
    product="a night train to Stockholm",
    brand="Nordlys",
    facts=("breakfast in bed", "from 49 euros", "free for children"),
    keywords=("journeys",),
    environment=Environment(site="a travel magazine"),
    voice="warm and plain",
)


@pytest.mark.parametrize("text", ["", "   ", "2024", "?!", "«»"])
def test_empty_refuses_what_has_no_word(text):
    assert gates.empty(text)


def test_empty_lets_a_word_through():
    assert gates.empty("Tea") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [("Wake up in Stockholm, rested", "28 characters; at most 20"), ("Stockholm", "one word")],
)
def test_length_refuses_what_is_too_long_or_a_lone_word(text, why):
    assert why in gates.length(text, 20)


def test_length_lets_through_what_just_fits():
    assert gates.length("Wake up in Stockholm", 20) is None


@pytest.mark.parametrize(
    "text",
    [
        "Take your coffee to the",
        "Journeys that",
        "Sleep well,",
        "A train for two -",
        "A night (in your own cabin",
        "Nights and",
        "Where journeys are",
    ],
)
def test_fragment_refuses_what_breaks_off(text):
    assert gates.fragment(text)


@pytest.mark.parametrize(
    "text", ["The nights you dreamed of", "A place to sleep in", "A night (for two)", "For you?"]
)
def test_fragment_lets_whole_lines_through(text):
    assert gates.fragment(text) is None


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
    assert "from the " in gates.leaked(text, BRIEF)


@pytest.mark.parametrize(
    "text", ["A product for your audience", "Travel light", "Warm nights", "Read no magazine"]
)
def test_leaked_lets_the_same_words_through_in_a_sentence(text):
    assert gates.leaked(text, BRIEF) is None


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
    assert gates.markup(text)


@pytest.mark.parametrize("text", ["Bed & breakfast", "Rest. Compare it yourself", "Less than 1 h"])
def test_markup_lets_plain_text_through(text):
    assert gates.markup(text) is None


@pytest.mark.parametrize(
    "text",
    ["Sleep well 😴", "Спи хорошо", "Sleep*", "Sleep_well", "{sleep}", "Wow!!", "Sleep ,well"],
)
def test_characters_refuses_what_is_not_plain_latin_text(text):
    assert gates.characters(text)


@pytest.mark.parametrize("text", ["Café für zwei, €49 – don't wait!", "Half-price? (Really.)"])
def test_characters_lets_latin_text_with_plain_punctuation_through(text):
    assert gates.characters(text) is None


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
    assert repr(phrase) in gates.never_use(text, ["other", phrase])


@pytest.mark.parametrize(("text", "phrase"), [("A cheaper bed", "cheap"), ("Scunthorpe", "thorp")])
def test_never_use_looks_at_whole_words(text, phrase):
    assert gates.never_use(text, [phrase]) is None


@pytest.mark.parametrize(
    "text", ["Coffee without the coffee", "Journeys are a journey", "More tea, More TEA"]
)
def test_repeats_refuses_a_telling_word_that_comes_twice(text):
    assert "twice" in gates.repeats(text)


@pytest.mark.parametrize(
    "text", ["Your night, your way", "More sleep, more of it", "As it is, so it is"]
)
def test_repeats_lets_small_words_come_twice(text):
    assert gates.repeats(text) is None


@pytest.mark.parametrize(
    "text",
    ["Less train", "Stop your journeys", "No more journeys", "Tired of trains?", "It is not a bed"],
)
def test_against_refuses_what_speaks_against_the_product(text):
    assert gates.against(text, BRIEF)


@pytest.mark.parametrize(
    "text",
    ["No airport queues", "Less waiting, more sleep", "You can't wait to go", "A night to go"],
)
def test_against_lets_through_what_speaks_against_other_things(text):
    assert gates.against(text, BRIEF) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("A night train to Paris", "paris"),
        ("From 39 euros a night", "39"),
        ("The best beds on rails", "best"),
        ("Save money. Wake up in Rome", "rome"),
        ("Sleep for 1,000 nights", "1"),
        ("Guaranteed sleep", "guaranteed"),
    ],
)
def test_unfounded_refuses_what_the_brief_does_not_bear_out(text, word):
    assert gates.unfounded(text, BRIEF) == f"the brief does not say {word!r}"


@pytest.mark.parametrize(
    "text",
    [
        "Wake up in Stockholm",
        "From 49 euros, with Nordlys",
        "Free for children",
        "Sleep on it. Wake up there",
        "Sleep All The Way Home",
        "Stockholm's nights on a Friday",
    ],
)
def test_unfounded_lets_through_what_it_does(text):
    assert gates.unfounded(text, BRIEF) is None


@pytest.mark.parametrize(
    "text", ["Wake up in Stockholm", "in Stockholm, wake up!", "Wake up in Stockholm, rested"]
)
def test_duplicate_refuses_the_same_words_in_any_order_or_with_more(text):
    assert "'Wake up in Stockholm'" in gates.duplicate(text, ["Another", "Wake up in Stockholm"])


@pytest.mark.parametrize("others", [[], ["Wake up at home"]])
def test_duplicate_lets_other_words_through(others):
    assert gates.duplicate("Breakfast in Stockholm", others) is None


@pytest.mark.parametrize(
    "text", ["Make nights quiet again", "Make nights quieter again", "Keep nights quiet again"]
)
def test_copied_refuses_what_the_model_was_shown_and_its_ending(text):
    assert "was shown" in gates.copied(text, ["Make nights quiet again"])


@pytest.mark.parametrize("text", ["Make nights count", "Quiet again"])
def test_copied_lets_the_same_opening_through(text):
    assert gates.copied(text, ["Make nights quiet again", "again"]) is None
