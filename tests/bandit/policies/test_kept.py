"""What policies keep prepared of actions is bounded in bytes, whatever requests bring."""

from operator import attrgetter

import numpy as np
import pytest
from msgspec import Raw

from bandit.policies import open_policy
from bandit.policies.base import LARGEST_KEPT
from streams.events import EMPTY, Action

KEPT = {
    "lin_ucb": "_model._kept",
    "hybrid": "_codes",
    "vw": "_prepared",
    "text_thompson": "_scores",
}


@pytest.mark.parametrize("name", KEPT)
def test_large_features_are_read_the_same_each_time_and_not_kept(name):
    policy = open_policy({"name": name})
    large = Raw(b'{"text":"' + b"t" * LARGEST_KEPT + b'"}')
    actions = (Action("small", EMPTY), Action("large", large))
    first = policy.pmf(EMPTY, actions)
    np.testing.assert_array_equal(first, policy.pmf(EMPTY, list(actions)))
    kept = attrgetter(KEPT[name])(policy)
    assert [key[0] for key in kept] in (["small"], []), "weights of no features keep nothing"
