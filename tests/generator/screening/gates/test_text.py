import pytest

from generator.screening.gates import form
from generator.screening.gates import text as gates
from tests.generator.screening.gates.conftest import BRIEF

GATES = {
    "empty": form.empty,
    "length": lambda text: form.length(text, 20, "characters", 2),
    "fragment": form.fragment,
    "leaked": lambda text: gates.leaked(text, BRIEF),
    "markup": gates.markup,
    "characters": lambda text: form.characters(text, latin=True),
    "repeats": form.repeats,
}
REFUSED = {
    "empty": ["", "   ", "2024", "?!", "«»"],
    "fragment": [
        "Take your coffee to the",
        "Sleep on it when you",
        "Journeys that",
        "Sleep well,",
        "A train for two -",
        "A night (in your own cabin",
        "Nights and",
        "Where journeys are",
    ],
    "leaked": [
        "Headline: sleep well",
        "Sleep | Audience",
        "tone : warm",
        "product: a train",
        "Breakfast in bed, in a travel magazine",
        "Warm and plain nights",
    ],
    "markup": [
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
    "characters": [
        *("Sleep well 😴", "Спи хорошо", "Sleep*", "Sleep_well", "{sleep}", "Wow!!", "Sleep ,well")
    ],
    "repeats": ["Coffee without the coffee", "Journeys are a journey", "More tea, More TEA"],
}
PASSED = {
    "empty": ["Tea"],
    "length": ["Wake up in Stockholm"],
    "fragment": [
        *("The nights you dreamed of", "A place to sleep in", "A night (for two)", "For you?")
    ],
    "leaked": ["A product for your audience", "Travel light", "Warm nights", "Read no magazine"],
    "markup": ["Bed & breakfast", "Rest. Compare it yourself", "Less than 1 h"],
    "characters": ["Café für zwei, €49 – don't wait!", "Half-price? (Really.)"],
    "repeats": ["Your night, your way", "More sleep, more of it", "As it is, so it is"],
}
WORDS = {"leaked": "from the ", "repeats": "twice"}
"""What a gate's reason says, where the texts do not differ by that."""


def each(cases):
    return pytest.mark.parametrize(
        ("gate", "text"), [(gate, text) for gate, texts in cases.items() for text in texts]
    )


@each(REFUSED)
def test_a_gate_refuses_with_a_reason(gate, text):
    why = GATES[gate](text).why
    assert why
    assert WORDS.get(gate, "") in why


@each(PASSED)
def test_a_gate_lets_through(gate, text):
    assert GATES[gate](text).why is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Wake up in Stockholm, rested", "28 characters; at most 20"),
        ("Stockholm", "1 word; at least 2"),
    ],
)
def test_length_refuses_what_is_too_long_or_a_lone_word(text, why):
    assert why in GATES["length"](text).why


def test_length_counts_as_the_channel_does():
    assert form.length("寝袋 zzz", 6, "characters", 1).why is None
    assert "8 units" in form.length("寝袋 zzz", 6, "double_width", 1).why


def test_characters_of_other_scripts_pass_where_the_language_has_them():
    assert form.characters("Свежий кофе", latin=False).why is None
    assert form.characters("Свежий кофе", latin=True).why
    assert form.characters("Fresh 😍", latin=False).why
    assert form.characters("Fresh 😍", latin=True, extra="😍").why is None


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
