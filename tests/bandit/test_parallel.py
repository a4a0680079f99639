import os
from functools import partial

import pytest

from bandit.errors import ReplayError
from bandit.parallel import fan_out
from bandit.policies import parse_policy


@pytest.mark.parametrize("processes", [1, 2])
def test_every_value_of_every_job_comes_in_its_own_order(processes: int) -> None:
    jobs = [partial(iter, range(start, start + 40)) for start in (0, 100, 200)]
    values: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for job, value in fan_out(jobs, processes):
        values[job].append(value)
    assert values == {0: [*range(40)], 1: [*range(100, 140)], 2: [*range(200, 240)]}


def test_what_a_job_refuses_reaches_the_caller_with_its_code() -> None:
    jobs = [partial(map, parse_policy, ["uniform:x"]), partial(iter, range(3))]
    with pytest.raises(ReplayError, match="'x' has no value") as caught:
        list(fan_out(jobs, 2))  # type: ignore[arg-type]
    assert caught.value.code == "policy_spec_invalid"


def test_a_process_that_dies_is_told_with_its_exit_code() -> None:
    jobs = [partial(map, os._exit, [3]), partial(iter, range(3))]
    with pytest.raises(ReplayError, match="exit code 3 before it was done"):
        list(fan_out(jobs, 2))
