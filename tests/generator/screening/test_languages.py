"""Each gate on the labelled adverts of each language: the good get in, the bad do not."""

import pytest

from tests.generator.screening.language_cases import LANGUAGES, WHOLE, gates_of, measure
from tests.generator.screening.make_cases import PARTS

MOST_WRONGED = 0.05
LEAST_RECALL = {"chat": 0.9, "figures": 0.9, "law": 0.9, "never_use": 0.95, "profanity": 0.9}
"""What must be found of the bad, in either part together; of other gates a half."""


@pytest.mark.parametrize("language", LANGUAGES)
def test_gates_keep_to_what_they_were_measured_to_do(language):
    for gate in gates_of(language, "tune"):
        tuned, held_out = (measure(language, gate, part) for part in PARTS)
        good, wronged = tuned.good + held_out.good, tuned.wronged + held_out.wronged
        bad, caught = tuned.bad + held_out.bad, tuned.caught + held_out.caught
        if gate != WHOLE:
            assert wronged <= MOST_WRONGED * good, gate
        assert caught >= LEAST_RECALL.get(gate, 0.5) * bad, gate


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_whole_screen_refuses_the_bad_and_few_of_the_good(language):
    found = measure(language, WHOLE, "held_out")
    assert found.wronged <= 0.1 * found.good
    assert found.caught >= 0.85 * found.bad
