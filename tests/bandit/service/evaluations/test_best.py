"""Which policy an evaluation calls best: one that surely is, or none."""

import pytest

from bandit.service.evaluations.jobs import Result, ValueOverTime
from bandit.service.evaluations.work import _conclusion, _optimal


def result(name, origin, low, high, *, n=500, verdict="ok", over=(0.01, 0.2)):
    total = ValueOverTime(0, n, (low + high) / 2, low, high)
    apart = None if over is None else ValueOverTime(0, n, 0.1, *over)
    return Result(name, "", origin, total, float(n), (), apart, verdict, f"{verdict}.")


ONLINE = result("online", "Online", 0.1, 0.2, over=None)
BETTER = result("bold", "Custom", 0.3, 0.4)


@pytest.mark.parametrize(
    ("results", "best", "words"),
    [
        ((ONLINE, BETTER), "bold", "bold is surely better"),
        ((ONLINE, result("even", "Custom", 0.15, 0.4)), "online", "None is surely better"),
        ((ONLINE, result("u", "Random", 0.3, 0.4)), "online", "None is surely better"),
        # three decisions, of which one earned something
        (
            (
                result("online", "Online", 0.01, 0.8, n=3, verdict="few_rewards"),
                result("bold", "Custom", 0.9, 1.0, n=3, verdict="few_rewards"),
            ),
            None,
            "cannot tell",
        ),
        (
            (result("online", "Online", 0.1, 0.2, n=25, verdict="small_sample"), BETTER),
            None,
            "tell",
        ),
        ((result("online", "Online", 0.1, 0.2, verdict="repeated_units"), BETTER), None, "tell"),
        # what the log cannot tell of is never better, however good it looks
        (
            (ONLINE, result("bold", "Custom", 0.3, 0.4, verdict="few_carry")),
            "online",
            "None is surely better",
        ),
        (
            (ONLINE, result("bold", "Custom", 0.3, 0.4, over=(None, None))),
            "online",
            "None is surely better",
        ),
    ],
)
def test_the_best_is_sure_and_the_words_say_the_same(results, best, words):
    assert _optimal(results) == best
    assert words in _conclusion(results, best)
