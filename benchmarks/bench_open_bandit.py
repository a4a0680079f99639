"""What is Bernoulli Thompson sampling worth on the Open Bandit Dataset, told from the uniform log?

The dataset has 10,000 impressions under a uniform policy and 10,000 under Bernoulli Thompson
sampling, so what is estimated from the first can be held against what was earned in the second.
The policy's pmf comes from obp, which has the parameters it ran with, and so does the baseline
(`benchmarks/bench_estimators.py` says how to have obp beside ours).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit.ope.batches import make_batch, unsupported
from bandit.ope.checks.diagnostics import Diagnosis
from bandit.ope.estimators import open_estimator
from bandit.ope.intervals import clopper_pearson
from bandit.ope.models import fit_model
from bandit.ope.policies import Answer
from bandit.ope.readers import open_reader

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "obd"
NAMES = ("ips", "snips", "dm", "dr", "blend", "betting")
LARGEST = 80.0


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no {DATA} here")
@pytest.mark.filterwarnings("ignore")
def test_bernoulli_thompson_from_the_uniform_log(benchmark: Any) -> None:
    ope = pytest.importorskip("obp.ope", reason="the baseline, obp, is not installed")
    policy = pytest.importorskip("obp.policy").BernoulliTS(
        n_actions=80, len_list=3, is_zozotown_prior=True, campaign="all", random_state=0
    )
    pmfs = policy.compute_batch_action_dist(n_sim=100_000, n_rounds=1)[0]
    events = list(open_reader("obd", DATA / "random" / "all"))
    assert [action.id for action in events[0].decision.actions] == [str(n) for n in range(80)]

    def judge() -> dict[str, Any]:
        model = fit_model("ridge", events)
        answers = [
            Answer(float(pmfs[e.decision.index, e.decision.slot]), pmfs[:, e.decision.slot])
            for e in events
        ]
        batch = make_batch(events, answers, model.scores(events))
        diagnosis = Diagnosis()
        diagnosis.add(batch, unsupported(events, answers))
        found = {}
        for name in NAMES:
            estimator = open_estimator(name, max_weight=LARGEST)
            estimator.add(batch)
            found[name] = estimator.get()
        return {"estimates": found, "diagnostics": diagnosis.get(), "batch": batch}

    told = benchmark.pedantic(judge, rounds=1)
    on_policy = [event.reward for event in open_reader("obd", DATA / "bts" / "all")]
    truth = clopper_pearson(round(sum(on_policy)), len(on_policy), 0.95)
    figures = benchmark.extra_info
    figures["on_policy"] = float(np.mean(on_policy))
    figures["on_policy_interval"] = [round(truth.low, 5), round(truth.high, 5)]
    for name, estimate in told["estimates"].items():
        figures[name] = round(estimate.value, 5)
        interval = estimate.interval
        figures[f"{name}_interval"] = [round(interval.low, 5), round(interval.high, 5)]
        assert interval.low <= truth.high
        assert interval.high >= truth.low
    known = told["diagnostics"]
    figures["verdict"] = f"{known.verdict.code}: {known.verdict.words}"
    figures["effective"] = round(known.effective)
    batch = told["batch"]
    for name, theirs in (
        ("ips", ope.InverseProbabilityWeighting),
        ("snips", ope.SelfNormalizedInverseProbabilityWeighting),
    ):
        expected = theirs().estimate_policy_value(
            reward=batch.reward,
            action=np.array([e.decision.index for e in events]),
            pscore=batch.propensity,
            action_dist=np.broadcast_to(pmfs, (len(events), 80, 3)),
            position=np.array([e.decision.slot for e in events]),
        )
        difference = abs(told["estimates"][name].value - expected)
        figures[f"{name}_diff_to_obp"] = difference
        assert difference < 1e-6
