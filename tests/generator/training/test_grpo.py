"""Writing itself and learning from rewards: what they say, what is learned, what is refused."""

import msgspec
import numpy as np
import pytest
import torch

from generator.errors import DatasetError, RewardModelError, TrainingConfigError
from generator.models.opening import read_manifest
from generator.reward.encoders import open_encoder
from generator.reward.model import fit_reward_model
from generator.training.config import AdapterConfig, GrpoConfig, GrpoWeights, Manifest
from generator.training.finetune import finetune
from generator.training.grpo import NAMES, Rewards
from generator.training.rows import RowReader, batch_of, text_log_probs
from tests.generator.models.conftest import byte_tokenizer, tiny_llama
from tests.generator.reward.made_texts import made_examples
from tests.generator.training.conftest import PRODUCTS, quick, resumed, saved

PROMPT = 'Product: {}\nHeadline: "'
FINE = ("Warm {} for cold days", "Fresh {} every day")
POOR = ("{} {} {}", "Your {}")


@pytest.fixture(scope="module")
def fluent(tmp_path_factory):
    """Returns a model that writes fine and poor texts alike, and rows with its prompts."""
    tokenizer = byte_tokenizer()
    model = tiny_llama(tokenizer)
    reader = RowReader(tokenizer, 512)
    rows = [
        reader.row(PROMPT.format(product), text.format(*[product] * 3))
        for product in PRODUCTS
        for text in (*FINE, *POOR)
    ]
    batch, optimizer = batch_of(rows, 0), torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        likely, lengths = text_log_probs(model, batch)
        (-likely.sum() / lengths.sum()).backward()
        optimizer.step()
    return saved(tmp_path_factory.mktemp("fluent"), model, tokenizer)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Returns a folder with a reward model, and one of shuffled rates."""
    folder = tmp_path_factory.mktemp("models")
    examples, encoder = made_examples(40), open_encoder("wordllama", folder)
    fit_reward_model(examples, encoder).save(folder / "good")
    rates = np.random.default_rng(1).permutation([example.rate for example in examples])
    shuffled = [e._replace(rate=float(rate)) for e, rate in zip(examples, rates, strict=True)]
    fit_reward_model(shuffled, encoder).save(folder / "shuffled")
    return folder


def told_to(ground, reward, **changes):
    settings = {"reward": str(reward), "epochs": 6.0, "learning_rate": 0.002, "new_tokens": 28}
    settings |= {"group": 4}
    shape = AdapterConfig(rank=4, targets=("all-linear",))
    own = GrpoConfig(**(settings | changes))
    return quick(ground, method="grpo", batch=8, adapter=shape, grpo=own)


@pytest.fixture(scope="module")
def trained(fluent, models, tmp_path_factory):
    out = tmp_path_factory.mktemp("grpo") / "run"
    return out, finetune(fluent.dataset, out, told_to(fluent, models / "good"))


def test_more_of_what_it_writes_passes_the_gates(trained):
    out, manifest = trained
    metrics = manifest.metrics
    before, after = (metrics[f"grpo/held_out_format{when}"] for when in ("_before", ""))
    assert 0.05 < before < after - 0.1
    assert metrics["grpo/held_out_promise"] > metrics["grpo/held_out_promise_before"]
    assert manifest.rows == {"prompt/train": 4, "prompt/test": 2}
    assert {f"rewards/{name}/mean" for name in NAMES} <= manifest.steps[0].keys()
    assert manifest.steps[-1]["kl"] > 0
    assert manifest.reward_sha256 is not None
    assert read_manifest(out / "manifest.json", Manifest) == manifest
    assert [path.name for path in (out / "adapter").iterdir() if path.is_dir()] == []


def test_it_goes_on_where_it_was_stopped(fluent, trained, tmp_path):
    _, whole = trained
    again = resumed(fluent, tmp_path / "run", whole.config, after=7)
    assert again.adapter_sha256 == whole.adapter_sha256


def test_it_ends_early_where_rewards_do_not_rise(fluent, models, tmp_path):
    still = told_to(fluent, models / "good", learning_rate=1e-9)
    config = msgspec.structs.replace(still, patience=1, checkpoint_steps=1)
    made = finetune(fluent.dataset, tmp_path / "run", config)
    assert 2 <= len([step for step in made.steps if "eval_reward" in step]) < 12


def test_rewards_say_what_a_text_is_worth():
    rewards = Rewards(GrpoConfig(group=4), lambda texts: np.full(len(texts), 0.7), eos=-1)
    texts = ['Warm tea for cold days"', 'Warm tea for cold days"', 'Fresh tea every day"', "Warm"]
    texts += ['tea tea tea"', 'Cheap shit tea"', 'Get rich quick with tea"', '"']
    told = rewards.tell([PROMPT.format("tea")] * 8, texts, [[0]] * 8)
    assert told.format.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert told.promise.tolist() == [0.7, 0.7, 0.7, 0, 0, 0, 0, 0]
    assert told.policy.tolist() == [0, 0, 0, 0, 0, -1, -1, 0]
    assert told.diversity[:2].tolist() == [0, 0]
    assert 0.2 < told.diversity[2] < 0.8
    assert told.diversity[3:].tolist() == [0] * 5


def test_a_text_that_the_model_ended_itself_has_ended():
    rewards = Rewards(GrpoConfig(), lambda texts: np.ones(len(texts)), eos=7)
    prompts, texts = [PROMPT.format("tea")] * 2, ["Fresh tea every day"] * 2
    assert rewards.tell(prompts, texts, [[1, 7], [1, 2]]).format.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"reward": None}, TrainingConfigError, "grpo.reward: is missing"),
        ({"reward": "/nowhere"}, RewardModelError, "no reward model in"),
        ({"reward": "shuffled"}, RewardModelError, "must surely be above one half"),
        ({"group": 3}, TrainingConfigError, "expected a divisor of batch x accumulate, 8"),
        ({"group": 8, "accumulate": 8}, DatasetError, "4 prompts to train on, and an update"),
        ({"kind": "adalora"}, TrainingConfigError, "grpo compares with a copy"),
    ],
)
def test_what_cannot_be_is_said_first(fluent, models, tmp_path, changes, error, says):
    reward = changes.pop("reward", "good")
    top = {name: changes.pop(name) for name in ("accumulate",) if name in changes}
    shape = {"kind": changes.pop("kind", "lora")}
    config = told_to(fluent, models / reward if reward else "", **changes)
    own = config.grpo if reward else msgspec.structs.replace(config.grpo, reward=None)
    config = msgspec.structs.replace(config, grpo=own, adapter=AdapterConfig(**shape), **top)
    with pytest.raises(error, match=says):
        finetune(fluent.dataset, tmp_path / "run", config)


def test_weights_say_what_counts(fluent, models, tmp_path):
    """Where nothing counts there is nothing to learn but to stay."""
    none = GrpoWeights(promise=0.0, format=0.0, diversity=0.0, policy=0.0)
    config = told_to(fluent, models / "good", weights=none, epochs=1.0)
    made = finetune(fluent.dataset, tmp_path / "run", config)
    metrics = made.metrics
    assert metrics["grpo/held_out_format"] == metrics["grpo/held_out_format_before"]
