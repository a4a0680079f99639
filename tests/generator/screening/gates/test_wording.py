import pytest

from generator.screening.gates import wording


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
    assert repr(phrase) in wording.ruled_out(text, ["other", phrase], ()).why


@pytest.mark.parametrize(("text", "phrase"), [("A cheaper bed", "cheap"), ("Scunthorpe", "thorp")])
def test_never_use_looks_at_whole_words(text, phrase):
    assert wording.ruled_out(text, [phrase], [phrase]).why is None
