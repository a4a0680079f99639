"""Each gate on the labelled cases of tests/data/gates: the good get in, the bad mostly do not."""

import pytest

from tests.generator.screening.gate_cases import JUDGES, measure
from tests.generator.screening.make_cases import FOLDER, GATES, PARTS, cases, good_lines, to_jsonl

MOST_WRONGED = 0.05
LEAST_RECALL = {
    "against": 0.75, "fragment": 0.7, "grammar": 0.8, "harm": 0.3, "language": 0.8,
    "nonsense": 0.5, "off_topic": 0.1, "platform": 0.3, "profanity": 0.8,
}  # fmt: skip
"""Gates that miss more than a tenth of the bad; generator/README.md tells how much of which."""
QUICK = sorted({*JUDGES, "off_topic"})


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("gate", QUICK)
def test_a_gate_keeps_to_what_it_was_measured_to_do(gate, part):
    found = measure(gate, part)
    assert found.wronged_share <= MOST_WRONGED
    assert found.recall >= LEAST_RECALL.get(gate, 0.85)
    assert found.good >= 100


@pytest.mark.model
@pytest.mark.parametrize("part", PARTS)
def test_the_model_tells_sense_from_nonsense(part, backend):
    found = measure("nonsense", part, backend=backend)
    assert found.wronged_share <= MOST_WRONGED
    assert found.recall >= LEAST_RECALL["nonsense"]


@pytest.mark.parametrize("gate", sorted(GATES))
def test_the_files_are_what_the_fragments_make(gate):
    assert (FOLDER / f"{gate}.jsonl").read_text(encoding="utf-8") == to_jsonl(cases(gate))


def test_the_good_headlines_are_those_of_the_products():
    assert (FOLDER / "good.jsonl").read_text(encoding="utf-8") == to_jsonl(good_lines())
