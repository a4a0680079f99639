"""How many texts does the whole screen judge in a CPU-second, in each language, and how well?

The texts are the adverts of tests/data/gates/languages; for speed the good ones, which no early
gate takes out. English is the baseline: only it has a grammar to check. Time is this process's CPU
time, with models loaded; the model that writes judges nothing here.
"""

import time

import pytest

from generator.screening.screen import CandidateText, Screen
from tests.generator.screening.language_cases import LANGUAGES, gates_of, labelled, measure
from tests.generator.screening.make_cases import PARTS

ROUNDS = 5


def screened(language):
    """Returns how many texts of the language's briefs were judged, each brief by a new screen."""
    texts = 0
    for found in labelled(language, "tune"):
        batch = [CandidateText(text) for text in found.good]
        texts += len(Screen(found.brief).judge(batch))
    return texts


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("language", LANGUAGES)
def test_screen(benchmark, language):
    texts = benchmark.pedantic(screened, (language,), rounds=ROUNDS, warmup_rounds=1)
    started = time.process_time()
    baseline = screened("en") / (time.process_time() - started)
    rate = texts / benchmark.stats.stats.median
    benchmark.extra_info.update(
        texts=texts, texts_per_cpu_second=rate, against_english=rate / baseline
    )


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_gates(benchmark, language, part):
    def every():
        return {gate: measure(language, gate, part) for gate in gates_of(language, part)}

    for gate, found in benchmark.pedantic(every, rounds=1).items():
        benchmark.extra_info[gate] = {
            "bad": found.bad,
            "good": found.good,
            "precision": found.precision if found.bad else None,
            "recall": found.recall if found.bad else None,
            "wronged_share": found.wronged_share,
        }
