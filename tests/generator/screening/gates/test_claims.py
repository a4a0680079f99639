import pytest

from generator.screening.gates import claims
from tests.generator.screening.gates.conftest import BRIEF


@pytest.mark.parametrize(
    "text",
    ["Less train", "Stop your journeys", "No more journeys", "Tired of trains?", "It is not a bed"],
)
def test_against_refuses_what_speaks_against_the_product(text):
    assert claims.against(text, BRIEF).why


@pytest.mark.parametrize(
    "text",
    ["No airport queues", "Less waiting, more sleep", "You can't wait to go", "A night to go"],
)
def test_against_lets_through_what_speaks_against_other_things(text):
    assert claims.against(text, BRIEF).why is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("A night train to Paris", "paris"),
        ("The best beds on rails", "best"),
        ("Save money. Wake up in Rome", "rome"),
        ("Guaranteed sleep", "guaranteed"),
    ],
)
def test_unfounded_refuses_what_the_brief_does_not_bear_out(text, word):
    assert claims.unfounded(text, BRIEF.texts()).why == f"the brief does not say {word!r}"


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
    assert claims.unfounded(text, BRIEF.texts()).why is None


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("From 39 euros a night", "39 euros"),
        ("Sleep for 1,000 nights", "1,000"),
        ("49% off", "49%"),
        ("49 nights", "49"),
        ("Half price this week", "Half price"),
        ("Ninety percent sleep through", "ninety"),
        ("Two hundred beds", "two hundred"),
        ("Twice the rest", "Twice"),
    ],
)
def test_unbacked_refuses_figures_that_the_brief_does_not_say(text, figure):
    assert claims.unbacked(text, BRIEF.texts()).why == f"the brief does not say {figure!r}"


@pytest.mark.parametrize(
    "text", ["From €49", "49 euros, breakfast included", "A cabin for two", "One more night"]
)
def test_unbacked_lets_through_the_same_figure_however_it_is_written(text):
    assert claims.unbacked(text, BRIEF.texts()).why is None


@pytest.mark.parametrize(
    ("digits", "value"), [("1,049.50", 1049.5), ("1.049", 1049), ("3,5", 3.5), ("1,000,000", 1e6)]
)
def test_figures_read_either_separator(digits, value):
    [figure] = claims.figures(f"From {digits} euros")
    assert (figure.value, figure.unit) == (value, "money")


@pytest.mark.parametrize(
    "text",
    ["Drive safely. Terms apply", "Terms apply: drive", "Drive – Terms apply.", "Terms apply"],
)
def test_required_claims_may_stand_anywhere_as_a_sentence(text):
    assert claims.required({"headline": "Drive", "body": text}, ["Terms apply"]).why is None


@pytest.mark.parametrize(
    "text",
    ["Drive. terms apply", "Drive. No Terms apply", "Drive. Terms applying", "Terms may apply"],
)
def test_required_claims_are_letter_for_letter(text):
    found = claims.required({"body": text}, ["Terms apply"])
    assert (found.score, found.why) == (1, "does not say 'Terms apply'")
