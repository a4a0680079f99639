"""A log that an earlier copyloop wrote says the same to this one, byte for byte.

Two dozen placements were asked through `/v1`, Personalizer and OpenFeature: one for each policy,
and others with caps, a shortlist, private fields, slots, a challenger and negative rewards.
"""

import lzma
from contextlib import closing
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from bandit.policies import load_policy
from bandit.verification import audit
from streams.events import INTERACTIONS, POLICIES, decode
from streams.fold import scan_topic
from streams.logs.opening import open_log
from tests.bandit.recovery_findings import Events, calm_join, folds, unpublished

VW = {"vw", "vw-eps"}
ALGEBRA = {"lin-ts", "lin-ucb", "hybrid", "negative", "private", "short"}
"""Their policies solve linear systems, whose last digits are those of the kernel that numpy's
OpenBLAS takes for a processor."""
KERNEL = "SkylakeX"
"""Of the machine that recorded the log."""
RECORDED = Path(__file__).parent / "data" / "recorded_log.db.xz"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "log.db"
    path.write_bytes(lzma.decompress(RECORDED.read_bytes()))
    with closing(open_log(f"sqlite:///{path}")) as log:
        yield log


def test_every_decision_is_derived_again(log):
    report = audit(log)
    assert (report.decisions, report.versions) == (689, 180)
    if kernel() == KERNEL:
        assert report.clean, report.counts()
        assert report.versions_verified == 180
    else:
        assert {mismatch.placement for mismatch in report.mismatches} <= ALGEBRA
    assert report.unprovable == report.forgotten == report.undrawn == 0


def test_the_join_writes_the_same_interactions(log, tmp_path):
    recorded = {i.id: record.value for record, i in Events(log).interactions.items()}
    assert len(recorded) == 1183
    joined = calm_join(log, tmp_path, len(recorded))
    # Windows that were open when the recording ended have closed since.
    assert recorded.items() <= joined.items()


def test_the_fold_gives_the_policies_that_were_published(log):
    made = folds(log, Events(log))
    names = {name for fold in made.values() for name in fold.placements}
    assert len(names) == 24
    for name in unpublished(log, made):
        # Vowpal Wabbit's steps depend on the processor's maker, in the fourth digit of a step.
        assert name in (VW if kernel() == KERNEL else VW | ALGEBRA)
        (fold,) = (fold.placements[name] for fold in made.values() if name in fold.placements)
        (published,) = [e for e in logged(log, POLICIES) if e.placement == name][-1:]
        theirs = load_policy(bytes(published.state))
        decisions = [i.decision for i in logged(log, INTERACTIONS) if i.decision.placement == name]
        assert decisions
        for decision in decisions:
            asked = decision.context, decision.actions
            assert fold.policy.pmf(*asked) == pytest.approx(theirs.pmf(*asked), abs=1e-4)


def kernel():
    """Returns which kernel of linear algebra numpy takes on this machine."""
    (blas,) = {each["architecture"] for each in threadpool_info() if each["user_api"] == "blas"}
    return blas


def logged(log, topic):
    return [decode(record.value) for record in scan_topic(log, topic)]
