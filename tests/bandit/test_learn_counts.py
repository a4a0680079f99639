import threading
import time

from bandit.service.learner import LearnCounts, run_learner
from streams.events import INTERACTIONS, POLICIES
from streams.log import Message, TopicPartition
from tests.bandit.histories import live, new_log, placement, put

UNIFORM = {"name": "uniform"}
PATIENCE_SECONDS = 30


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_a_learner_counts_what_it_folds_refuses_publishes_and_folds_anew(tmp_path):
    log, counts, stop = new_log(placement()), LearnCounts(), threading.Event()
    live(log, placement(), 12, seed=1)
    log.append([Message(INTERACTIONS, b"home", b"no JSON")])
    options = {"stop": stop, "counts": counts}
    learner = threading.Thread(target=run_learner, args=(log, tmp_path), kwargs=options)
    learner.start()
    try:
        until(lambda: counts.snapshots > 0)
        assert (counts.interactions, counts.refused, counts.refolds) == (12, 1, 0)
        put(log, placement(policy=UNIFORM))
        until(lambda: counts.refolds == 1)
    finally:
        stop.set()
        learner.join()
    assert (counts.interactions, counts.refused) == (12, 1), "folded anew is not read anew"
    assert counts.snapshots == log.end_offset(TopicPartition(POLICIES, 0)) >= 2
