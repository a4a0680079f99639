"""The models that listen, and that put texts and pictures into one space, by `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModel, AutoProcessor, pipeline

from generator.errors import BackendError
from generator.material import Words, shortened
from generator.material.decoding import RATE
from generator.models.device import pick_device, use_one_thread

Task: TypeAlias = Literal[
    "image-text-to-text", "automatic-speech-recognition", "audio-classification"
]
TAGS: Final = 3
SURE: Final = 0.2
"""The least score of a sound that is named."""
SIZE: Final = 32
"""Numbers in the fused vector; every decision carries them, once a creative."""
DECIMALS: Final = 4
PROJECTION_SEED: Final = 20_26


def open_pipeline(task: Task, model: str) -> Any:
    """Returns a pipeline of `transformers` for the task.

    Raises:
        BackendError: there is no such model, or it is of another kind.
    """
    use_one_thread()
    device = pick_device()
    opened: Any = pipeline
    try:
        return opened(task, model=model, device=device.name)
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(
            f"model {model!r} cannot be loaded for {task}: expected a folder or a hub id of a "
            f"model of that kind: {error}"
        ) from error


class Listening:
    """Hears with either model or both.

    Args:
        speech: for automatic speech recognition, None for no transcript.
        sounds: for audio classification, None for no names of sounds.

    Raises:
        BackendError: a model cannot be loaded.
    """

    def __init__(self, speech: str | None, sounds: str | None) -> None:
        self._speech = open_pipeline("automatic-speech-recognition", speech) if speech else None
        self._sounds = open_pipeline("audio-classification", sounds) if sounds else None

    def listen(self, samples: NDArray[np.float32]) -> Words:
        """Returns what is heard in samples at 16,000 a second, shape (n,).

        Raises:
            BackendError: a model failed.
        """
        said, tags = "", ""
        try:
            if self._speech is not None:
                said = self._speech({"raw": samples, "sampling_rate": RATE})["text"].strip()
            if self._sounds is not None:
                found: list[dict[str, Any]] = self._sounds(samples, top_k=TAGS)
                tags = ", ".join(tag["label"] for tag in found if tag["score"] >= SURE)
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"a model failed on a sound: {error}") from error
        described = [f"says “{shortened(said)}”"] if said else []
        described += [f"sounds of {tags}"] if tags else []
        heard = {"speech": shortened(said), "sounds": shortened(tags)}
        return Words(
            shortened(", ".join(described)), {name: text for name, text in heard.items() if text}
        )


class Joint:
    """A model of CLIP's kind, from a folder or the hub.

    Raises:
        BackendError: it cannot be loaded, or is of another kind.
    """

    def __init__(self, model: str) -> None:
        use_one_thread()
        self._device = pick_device().name
        try:
            loaded: Any = AutoModel.from_pretrained(model)
            processors: Any = AutoProcessor
            self._processor = processors.from_pretrained(model)
        except (OSError, ValueError) as error:
            raise BackendError(f"model {model!r} cannot be loaded: {error}") from error
        if not hasattr(loaded, "get_image_features") or not hasattr(loaded, "get_text_features"):
            raise BackendError(
                f"model {model!r} embeds no pictures beside texts; expected one of CLIP's kind"
            )
        self._model = loaded.to(self._device).eval()

    def features(self, text: str, images: Sequence[Image.Image]) -> dict[str, object]:
        """Returns the fused features of a creative: `joint`, 32 numbers, and `agreement`.

        The text's and the pictures' unit vectors are added and projected at random, which keeps
        inner products on average (Johnson and Lindenstrauss 1984); `agreement` is their cosine,
        in [-1, 1].

        Args:
            text: of the creative.
            images: at least one; several are averaged.
        """
        with torch.inference_mode():
            read = self._processor(
                text=[text], images=list(images), return_tensors="pt", padding=True, truncation=True
            ).to(self._device)
            words = _unit(
                self._model.get_text_features(
                    input_ids=read.input_ids, attention_mask=read.attention_mask
                )
            )
            seen = _unit(self._model.get_image_features(pixel_values=read.pixel_values))
        fused = (words + seen) @ _projection(len(words))
        return {
            "joint": [round(float(x), DECIMALS) for x in fused],
            "agreement": round(float(words @ seen), DECIMALS),
        }


def _unit(output: Any) -> NDArray[np.float64]:
    """Returns the mean of the vectors that a model gave, scaled to length 1."""
    vectors = getattr(output, "pooler_output", output).double().cpu().numpy()
    mean: NDArray[np.float64] = vectors.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _projection(dimensions: int) -> NDArray[np.float64]:
    """Returns the same random directions for the same dimensions, always."""
    draw = np.random.default_rng(PROJECTION_SEED)
    directions: NDArray[np.float64] = draw.standard_normal((dimensions, SIZE)) / np.sqrt(SIZE)
    return directions
