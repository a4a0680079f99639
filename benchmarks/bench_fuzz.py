"""Does the hot path's own parser hold: `--fuzz-inputs 1000000` requests that are nearly right.

None may be answered with a 5xx or not at all, and every decision that is logged must be one that
replay reads and derives again. The default is a tenth of that.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.bandit.service.fuzzing import fuzzed

SEED = 20_261_124


def test_requests_that_are_nearly_right(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """In this process, two placements: one policy reads contexts, one does not."""
    inputs: int = request.config.getoption("--fuzz-inputs")
    statuses, log = benchmark.pedantic(lambda: fuzzed(inputs, seed=SEED), rounds=1)
    benchmark.extra_info.update(
        inputs=inputs,
        decisions=log.decisions,
        outcomes=log.outcomes,
        server_errors=sum(count for status, count in statuses.items() if status >= 500),
        **{f"answered_{status}": count for status, count in sorted(statuses.items())},
    )
