"""How many headlines does a core write and screen in a second, against a bare `model.generate`?

The baseline reads every prompt of the same batch in full and writes until the last text has ended,
with the same sampling and stops; ours reads each distinct prompt once and drops a text that has
ended. Time is this process's CPU time, since torch runs on one thread. Tokens are those of the
texts: what is computed for texts that have ended does not count.
"""

import itertools
import math
import time
from collections import Counter

import pytest
import torch
from msgspec.structs import replace

from generator.brief.prompts import prompts
from generator.brief.schema import load_brief
from generator.commands.brief import TEMPLATES
from generator.models.base import Sampling
from generator.models.opening import open_backend
from generator.screening.screen import STOP, CandidateText, Screen, clean
from generator.writing.texts import MAX_REPEATS, PROMPTS_PER_BATCH, USUAL, Piece, generate
from tests.generator.conftest import BRIEFS

SEED = 1
MAX_NEW_TOKENS = 16
ROUNDS = 3
PIECES = {
    "headline_60": Piece("headline", "line", 60),
    "headline_30": Piece("headline", "line", 30),
    "description_90": Piece("description", "sentence", 90),
}


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
    bare_texts, bare = fastest(bare_generate, backend, texts)
    completions = benchmark.pedantic(ours, (backend, texts), rounds=ROUNDS, warmup_rounds=1)
    least = benchmark.stats.stats.min
    tokens, bare_tokens = (count(backend, written) for written in (completions, bare_texts))
    benchmark.extra_info.update(
        candidates=len(texts),
        distinct_prompts=len(set(texts)),
        cpu_seconds=least,
        tokens_per_cpu_second=tokens / least,
        bare_tokens_per_cpu_second=bare_tokens / bare,
        bare_cpu_seconds=bare,
        speed_against_bare=tokens / least / (bare_tokens / bare),
    )


@pytest.mark.benchmark(timer=time.process_time)
def test_screening_a_batch(benchmark, backend, brief, batch):
    completions = ours(backend, [prompt.text for prompt in batch])
    cleaned = [clean(p.opening + text) for p, text in zip(batch, completions, strict=True)]

    def screen():
        batch = [CandidateText(text, ended=ended) for text, ended in cleaned]
        return [verdict.rejection for verdict in Screen(brief).judge(batch)]

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


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("kind", PIECES)
def test_passing_untuned_on_unseen_briefs(benchmark, backend, kind):
    """The share of texts that pass every gate, over briefs that no prompt was written for."""
    briefs = [load_brief(path) for path in sorted(TEMPLATES.glob("*.yaml"))]

    def judged():
        return [judgement for brief in briefs for judgement in judge(backend, brief, PIECES[kind])]

    found = benchmark.pedantic(judged, rounds=1)
    refused = Counter(rejection.code for rejection in found if rejection)
    passed = found.count(None) / len(found)
    benchmark.extra_info.update(
        texts=len(found),
        passed=passed,
        passed_standard_error=math.sqrt(passed * (1 - passed) / len(found)),
        **{f"refused_{code}": count / len(found) for code, count in refused.most_common(6)},
    )


def judge(backend, brief, piece):
    """Returns why each of 16 texts was refused, None where it was not."""
    asked = prompts(brief, seed=SEED, form=piece.form, max_characters=piece.max_units)
    batch = list(itertools.islice(asked, PROMPTS_PER_BATCH))
    sampling = Sampling(STOP, piece.max_units // 4 + 1, *USUAL)
    completions = backend.complete([prompt.text for prompt in batch], sampling, seed=SEED)
    limits = replace(brief.constraints, max_characters=piece.max_units)
    screen = Screen(replace(brief, constraints=limits), reader=backend)
    written = []
    for prompt, completion in zip(batch, completions, strict=True):
        text, ended = clean(prompt.opening + completion.text)
        written.append(CandidateText(text, prompt.opening, ended))
    return [verdict.rejection for verdict in screen.judge(written)]


def ours(backend, texts):
    sampling = Sampling(STOP, MAX_NEW_TOKENS, *USUAL)
    return [completion.text for completion in backend.complete(texts, sampling, seed=SEED)]


def bare_generate(backend, texts):
    read = backend._tokenizer(texts, return_tensors="pt", padding=True)
    torch.manual_seed(SEED)
    written = backend._model.generate(
        **read,
        do_sample=True,
        temperature=USUAL.temperature,
        top_p=USUAL.top_p,
        top_k=0,
        max_new_tokens=MAX_NEW_TOKENS,
        eos_token_id=backend._stop_tokens(STOP),
        pad_token_id=backend._tokenizer.pad_token_id,
    )[:, read.input_ids.shape[1] :]
    return backend._tokenizer.batch_decode(written, skip_special_tokens=True)


def count(backend, texts):
    """Returns how many tokens texts have, those after a text's end not counted."""
    return sum(len(backend._tokenizer(text).input_ids) for text in texts)


def fastest(function, *arguments):
    """Returns what the function gave, and the least CPU time of a few calls."""
    least = math.inf
    for _ in range(ROUNDS):
        started = time.process_time()
        found = function(*arguments)
        least = min(least, time.process_time() - started)
    return found, least
