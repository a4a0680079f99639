"""A language model small enough to train in a second, and rows for it."""

from pathlib import Path
from typing import NamedTuple

import pytest

from generator.data.dataset import (
    Dataset,
    EvidenceThresholds,
    Imitate,
    Judge,
    Prefer,
    write_dataset,
)
from generator.errors import TrainingStopped
from generator.training.config import AdapterConfig, DpoConfig, FinetuneConfig, KtoConfig, SftConfig
from generator.training.finetune import finetune
from tests.generator.models.conftest import byte_tokenizer, tiny_llama

PRODUCTS = ("tea", "coffee", "boots", "maps", "lamps", "chairs")
GOOD = ("Warm {}", "Fresh {}", "Your {} now")
BAD = ("{} {}", "zzz {}", "No {} at all")


class Ground(NamedTuple):
    """Folders: a model, and a dataset in which one kind of text always wins."""

    model: str
    dataset: Path


@pytest.fixture(scope="session")
def ground(tmp_path_factory):
    tokenizer = byte_tokenizer()
    return saved(tmp_path_factory.mktemp("ground"), tiny_llama(tokenizer), tokenizer)


def saved(folder, model, tokenizer):
    """Returns the ground of a model, saved with its rows."""
    for part in (model, tokenizer):
        part.save_pretrained(folder / "model")
    made_dataset(folder / "rows")
    return Ground(str(folder / "model"), folder / "rows")


def made_dataset(folder, *, products=PRODUCTS, held_out=2):
    """Writes rows of each product; the last products are held out."""
    imitate, prefer, judge = [], [], []
    for number, product in enumerate(products):
        split = "test" if number >= len(products) - held_out else "train"
        prompt = f'Product: {product}\nHeadline: "'
        for good, bad in zip(GOOD, BAD, strict=True):
            better, worse = good.format(product), bad.format(product, product)
            imitate.append(Imitate(prompt, better, product, "home", "", 0.1, 0.05, split))
            prefer.append(Prefer(prompt, better, worse, product, "home", "", 0.9, split))
            judge.append(Judge(prompt, better, True, product, "home", "", split))
            judge.append(Judge(prompt, worse, False, product, "home", "", split))
    write_dataset(
        Dataset(imitate, prefer, judge, {}), folder, log=(), thresholds=EvidenceThresholds()
    )


def quick(ground, **changes):
    """Returns a configuration that takes a dozen small steps."""
    told = {
        "model": ground.model,
        "batch": 4,
        "checkpoint_steps": 3,
        "adapter": AdapterConfig(rank=4, targets=("q_proj", "v_proj")),
        "sft": SftConfig(epochs=4.0, learning_rate=0.01),
        "kto": KtoConfig(epochs=8.0, learning_rate=0.01),
        "dpo": DpoConfig(epochs=4.0, learning_rate=0.01),
    }
    return FinetuneConfig(**(told | changes))


def resumed(ground, out, config, *, after):
    """Returns the manifest of a training that was stopped after so many updates and went on."""
    stops = iter([False] * (after - 1) + [True])
    with pytest.raises(TrainingStopped):
        finetune(ground.dataset, out, config, stop=lambda: next(stops))
    return finetune(ground.dataset, out, config)
