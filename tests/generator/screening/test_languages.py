"""The screen in seven languages, on adverts that were labelled by hand: goals that it keeps."""

import pytest

from tests.generator.screening.gate_cases import Measured
from tests.generator.screening.language_cases import LANGUAGES, WHOLE, gates_of, measure
from tests.generator.screening.make_cases import PARTS

MOST_WRONGED = 0.05
LEAST_RECALL = 0.9
OF_TRUTH = ("chat", "figures", "law", "never_use", "profanity")
"""Gates that are held to a share of the bad over all languages, since a language has few."""
OF_FORM = ("characters", "fragment", "language", "repeats")


def over_languages(gate, part):
    found = [measure(code, gate, part) for code in LANGUAGES if gate in gates_of(code, part)]
    return Measured(*map(sum, zip(*found, strict=True)))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_gate_refuses_much_of_the_good(language, part):
    shares = {
        gate: measure(language, gate, part).wronged_share for gate in gates_of(language, part)
    }
    whole = shares.pop(WHOLE)
    assert max(shares.values()) <= MOST_WRONGED, shares
    assert whole <= 2 * MOST_WRONGED


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
def test_the_screen_finds_the_bad_of_a_language(language, part):
    assert measure(language, WHOLE, part).recall >= LEAST_RECALL


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("gate", [*OF_FORM, *OF_TRUTH])
def test_a_gate_finds_its_bad_over_all_languages(gate, part):
    least = 0.95 if gate == "never_use" else LEAST_RECALL
    assert over_languages(gate, part).recall >= least
