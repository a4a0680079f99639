"""The two bindings of Vowpal Wabbit: what one learned, the other can ask."""

import numpy as np
import pytest

from bandit.policies.vw.binding import NextWorkspace, OfficialWorkspace

OPTIONS = ["--quiet", "--cb_explore_adf", "--squarecb", "--cb_type", "mtr", "-q", "ci", "-b", "10"]


@pytest.fixture
def other(binding):
    return NextWorkspace if binding is OfficialWorkspace else OfficialWorkspace


def lines(workspace, chosen=None):
    texts = ["shared |c hour:0.5 phone", *(f"|i creative{i}" for i in range(4))]
    if chosen is not None:
        texts[chosen + 1] = f"0:-1:0.25 {texts[chosen + 1]}"
    return [workspace.parse(text) for text in texts]


def pmf_of(workspace):
    return np.array([p for _, p in sorted(workspace.predict(lines(workspace)))])


def test_the_other_reads_its_models(binding, other):
    ours = binding(OPTIONS)
    for chosen in (1, 1, 2, 1, 3):
        ours.learn(lines(ours, chosen))
    theirs = other(OPTIONS, ours.to_bytes())
    np.testing.assert_array_equal(pmf_of(theirs), pmf_of(ours))
    assert pmf_of(ours).argmax() == 1


def test_a_model_of_which_binding_is_told_by_its_bytes(binding, other):
    assert binding(OPTIONS).to_bytes() != other(OPTIONS).to_bytes()


def test_examples_give_their_memory_back(binding):
    import resource

    workspace = binding(OPTIONS)
    for turn in range(2):
        for number in range(5_000):
            workspace.learn(lines(workspace, number % 4))
            workspace.predict(lines(workspace))
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if turn == 0:
            before_kib = peak_kib
    # 50,000 examples that are kept take 1.5 GB.
    assert peak_kib - before_kib < 50_000


def test_options_that_do_not_explore_are_told(binding):
    assert binding(OPTIONS).explores
    assert not binding(["--quiet", "--csoaa_ldf", "multiline"]).explores


@pytest.mark.parametrize("options", [["--bogus"], ["--cb_explore_adf", "--epsilon", "much"]])
def test_options_that_are_none_are_refused(binding, options):
    with pytest.raises((RuntimeError, ValueError)):
        binding(["--quiet", *options])
