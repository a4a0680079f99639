"""A transformer that scores texts, as `copyloop generator finetune --method reward` leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bandit.ope.intervals import Interval
from generator.errors import RewardModelError, TrainingError
from generator.models.base import SMOLLM2
from generator.models.devices import pick_device, use_one_thread
from generator.models.opening import ADAPTER, MANIFEST, Origin, model_folder, read_manifest
from generator.models.transformers import quietly
from generator.reward.encoders import READS_AS, TextEncoder, open_encoder
from generator.reward.model import LEVEL, Accuracy, Scores, logistic
from generator.reward.regression import Floats

METHOD: Final = "reward"
BATCH: Final = 32


class TransformerReward:
    """Scores texts by a language model with a head; a `Reward`.

    Attributes:
        reader: what tells how alike texts are; it has no part in the scores.
        accuracy: on pairs that were held out.
        slope: how many logits of being the better one a score's difference of 1 is worth.
        unit: what scores are in.
    """

    unit = "logits of being the better one"

    def __init__(self, model: Any, tokenizer: Any, made: Origin, reader: TextEncoder) -> None:
        told = {name.removeprefix(f"{METHOD}/"): value for name, value in made.metrics.items()}
        interval = Interval(
            "bootstrap", LEVEL, told["held_out_right_low"], told["held_out_right_high"]
        )
        self._model, self._tokenizer, self._centre = model, tokenizer, told["centre"]
        self.reader = reader
        self.accuracy = Accuracy(told["held_out_right"], interval, int(told["held_out_pairs"]))
        self.slope = told["slope"]

    def score(self, texts: Sequence[str]) -> Scores:
        """Returns how far each text is above those it was trained on; nothing bounds that."""
        read = read_scores(self._model, self._tokenizer, texts, batch=BATCH)
        value = self.slope * (read - self._centre)
        unknown = np.full(len(value), np.inf)
        return Scores(value, -unknown, unknown)

    def chances(self, texts: Sequence[str]) -> Floats:
        """Returns how probably each does better than its company at large, shape (n_texts,)."""
        return logistic(self.score(texts).value)


def load_transformer_reward(folder: Path, cache: Path) -> TransformerReward:
    """Returns the model that a training left in a folder.

    Args:
        folder: with `manifest.json` and `adapter/`.
        cache: where the packaged model is made loadable.

    Raises:
        RewardModelError: there is none, or it cannot be loaded.
        BackendMissing: the packaged model is not installed.
    """
    try:
        made = read_manifest(folder / MANIFEST, Origin)
        if made.config.method != METHOD:
            raise RewardModelError(
                f"{folder} was made by {made.config.method}; expected a run of --method {METHOD}"
            )
        base = model_folder(made.config.model or SMOLLM2, cache)
        loader: Any = AutoModelForSequenceClassification
        with quietly(heads=True):
            bare = loader.from_pretrained(base, num_labels=1, dtype=torch.float32)
            tokenizer: Any = AutoTokenizer.from_pretrained(base)
            model = PeftModel.from_pretrained(bare, str(folder / ADAPTER))
    except (TrainingError, OSError, RuntimeError, ValueError) as error:
        raise RewardModelError(f"no reward model in {folder}: {error}") from error
    use_one_thread()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    model.to(pick_device().name).eval()
    return TransformerReward(model, tokenizer, made, open_encoder("wordllama", cache))


def read_scores(model: Any, tokenizer: Any, texts: Sequence[str], *, batch: int) -> Floats:
    """Returns what the head says of each text, shape (n_texts,)."""
    found = np.zeros(len(texts))
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(texts), batch):
            some = [READS_AS.format(text) for text in texts[start : start + batch]]
            read = tokenizer(some, return_tensors="pt", padding=True, padding_side="right")
            logits = model(
                input_ids=read.input_ids.to(device),
                attention_mask=read.attention_mask.to(device),
                use_cache=False,
            ).logits
            found[start : start + len(some)] = logits[:, 0].double().cpu().numpy()
    return found
