"""How long can one request of at most 1 MiB hold the event loop, and how far does the log grow?

Shapes of requests are tried at random over every route, then the worst of them are changed:
`--hostile-requests 20000` in all, two thirds of them at random. Each is sent alone to the
application in this process, which has a placement for each family of policies. A stall is the time
that nothing else got a turn, without what other processes of the machine took. A decision counts
three times: it is in two interactions, too.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.bandit.service.hostile import Found, growth_of, search, stall_of

SEED = 20_261_130
LARGE_BYTES = 1 << 18
"""A request of fewer bytes grows the log by what the placement's own creatives have."""


def told(found: Found) -> str:
    """Returns a shape in a few words."""
    shape = found.shape
    hole, unit = shape.hole[:48].decode("latin-1"), shape.unit[:24].decode("latin-1")
    return f"{found.status} {shape.method} {shape.path} {shape.filled} {hole} {unit} {shape.size}"


def test_hostile_requests(benchmark: Any, request: pytest.FixtureRequest) -> None:
    """Without keys, so that every request gets as far as it can."""
    tried: int = request.config.getoption("--hostile-requests")
    found = benchmark.pedantic(
        lambda: search(tried * 2 // 3, tried - tried * 2 // 3, seed=SEED), rounds=1
    )
    stalls = sorted(map(stall_of, found))
    large = max((each for each in found if each.brought >= LARGE_BYTES), key=growth_of)
    most = max(found, key=lambda each: each.logged)
    benchmark.extra_info.update(
        tried=tried,
        statuses=dict(sorted(Counter(each.status for each in found).items())),
        longest_stall_ms=1e3 * stalls[-1],
        stall_ms_99_9th=1e3 * stalls[int(len(stalls) * 0.999)],
        over_50_ms=sum(stall > 0.05 for stall in stalls),
        longest=told(max(found, key=stall_of)),
        growth_of_large=large.growth,
        growth_of_large_by=told(large),
        most_logged_bytes=most.logged,
        most_logged_by=told(most),
    )
