"""How much of the bad does each gate refuse, and how much of the good, and how fast is it?

The cases are those of tests/data/gates, each judged by its gate alone at the usual thresholds;
these were set on the part `tune`. The baseline is a gate that refuses everything: its precision
is the share of the bad among the cases. Time is this process's CPU time, with models loaded.
"""

import time

import pytest

from generator.models.opening import open_backend
from tests.generator.screening.gate_cases import JUDGES, cases, counted, judge
from tests.generator.screening.make_cases import PARTS

ROUNDS = 3


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("gate", [*JUDGES, "off_topic"])
def test_gate(benchmark, gate, part):
    rows = cases(gate, part)
    findings = benchmark.pedantic(judge, (gate, rows), rounds=ROUNDS, warmup_rounds=1)
    told(benchmark, counted(rows, findings), len(rows))


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("part", PARTS)
def test_nonsense(benchmark, part):
    backend, rows = open_backend("smollm2"), cases("nonsense", part)
    findings = benchmark.pedantic(judge, ("nonsense", rows), {"backend": backend}, rounds=1)
    told(benchmark, counted(rows, findings), len(rows))


def told(benchmark, found, texts):
    benchmark.extra_info.update(
        bad=found.bad,
        good=found.good,
        precision=found.precision,
        recall=found.recall,
        wronged_share=found.wronged_share,
        precision_of_refusing_all=found.bad / (found.bad + found.good),
        texts_per_cpu_second=texts / benchmark.stats.stats.median,
    )
