"""A bounded run of what benchmarks/bench_fuzz.py does by the million."""

import pytest

from tests.bandit.service.fuzzing import fuzzed


@pytest.mark.parametrize("seed", [1, 2])
def test_requests_that_are_nearly_right_are_answered_or_refused(seed):
    statuses, log = fuzzed(2200, seed=seed)
    assert sum(statuses.values()) == 2200
    # it must get past the parser as well as be refused by it
    assert {200, 202, 204, 400, 404, 422} <= statuses.keys()
    assert log.decisions > 100
    assert log.outcomes > 50
