"""How many headlines does a core write and screen in a second, against a bare `model.generate`?

The baseline reads every prompt of the same batch in full and writes until the last text has ended,
with the same sampling and stops; ours reads each distinct prompt once and drops a text that has
ended. Time is this process's CPU time, since torch runs on one thread. Tokens are those of the
texts: what is computed for texts that have ended does not count.
"""

import itertools
import time

import pytest
import torch

from generator.backends import Sampling, open_backend
from generator.brief import load_brief
from generator.generate import MAX_REPEATS, PROMPTS_PER_BATCH, USUAL, generate
from generator.prompts import prompts
from generator.screen import STOP, Screen, clean
from tests.generator.conftest import BRIEFS

SEED = 1
MAX_NEW_TOKENS = 16
ROUNDS = 3


@pytest.fixture(scope="module")
def backend():
    return open_backend("smollm2")


@pytest.fixture(scope="module")
def brief():
    return load_brief(BRIEFS / "coffee.yaml")


@pytest.fixture(scope="module")
def batch(brief):
    return list(itertools.islice(prompts(brief, seed=SEED), PROMPTS_PER_BATCH)) * MAX_REPEATS


@pytest.mark.benchmark(timer=time.process_time)
def test_writing_a_batch(benchmark, backend, batch):
    texts = [prompt.text for prompt in batch]
    bare = min(seconds(bare_generate, backend, texts) for _ in range(ROUNDS))
    completions = benchmark.pedantic(ours, (backend, texts), rounds=ROUNDS, warmup_rounds=1)
    least = benchmark.stats.stats.min
    tokens = sum(len(backend._tokenizer(text).input_ids) for text in completions)
    benchmark.extra_info.update(
        candidates=len(texts),
        distinct_prompts=len(set(texts)),
        cpu_seconds=least,
        tokens_per_cpu_second=tokens / least,
        bare_cpu_seconds=bare,
        speed_against_bare=bare / least,
    )


@pytest.mark.benchmark(timer=time.process_time)
def test_screening_a_batch(benchmark, backend, brief, batch):
    completions = ours(backend, [prompt.text for prompt in batch])
    cleaned = [clean(p.opening + text) for p, text in zip(batch, completions, strict=True)]

    def screen():
        judge = Screen(brief).judge
        return [judge(text, ended=ended) for text, ended in cleaned]

    rejections = benchmark.pedantic(screen, rounds=20, warmup_rounds=1)
    benchmark.extra_info.update(
        texts_per_cpu_second=len(cleaned) / benchmark.stats.stats.median,
        accepted=rejections.count(None) / len(rejections),
    )


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("n", [10, 20])
def test_headlines_for_a_brief(benchmark, backend, brief, n):
    result = benchmark.pedantic(
        generate, (brief, backend), {"n": n, "seed": SEED}, rounds=ROUNDS, warmup_rounds=1
    )
    assert len(result.accepted) == n
    benchmark.extra_info.update(
        cpu_seconds_per_headline=benchmark.stats.stats.median / n,
        accepted=n / (n + len(result.rejected)),
    )


def ours(backend, texts):
    sampling = Sampling(STOP, MAX_NEW_TOKENS, *USUAL)
    return [completion.text for completion in backend.complete(texts, sampling, seed=SEED)]


def bare_generate(backend, texts):
    read = backend._tokenizer(texts, return_tensors="pt", padding=True)
    torch.manual_seed(SEED)
    backend._model.generate(
        **read,
        do_sample=True,
        temperature=USUAL.temperature,
        top_p=USUAL.top_p,
        top_k=0,
        max_new_tokens=MAX_NEW_TOKENS,
        eos_token_id=backend._stop_tokens(STOP),
        pad_token_id=backend._tokenizer.pad_token_id,
    )


def seconds(function, *arguments):
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started
