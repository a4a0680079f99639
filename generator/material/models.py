"""What the models of material say of a file: those that look, listen, or join text and picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoModel, AutoProcessor

from generator.errors import BackendError, MaterialError
from generator.material import MaterialDescription, shortened
from generator.material.decoding import RATE, key_frames, samples_of
from generator.material.images import Seeing, open_image, open_pipeline, open_seeing
from generator.models.catalog import Models
from generator.models.devices import pick_device, use_one_thread

TAGS: Final = 3
SURE: Final = 0.2
"""The least score of a sound that is named."""
SIZE: Final = 32
"""Numbers in the fused vector; every decision carries them, once a creative."""
DECIMALS: Final = 4
PROJECTION_SEED: Final = 20_26


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

    def listen(self, samples: NDArray[np.float32]) -> MaterialDescription:
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
        return MaterialDescription(
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
        # The same directions for as many dimensions, always.
        draw = np.random.default_rng(PROJECTION_SEED)
        fused = (words + seen) @ (draw.standard_normal((len(words), SIZE)) / np.sqrt(SIZE))
        return {
            "joint": [round(float(x), DECIMALS) for x in fused],
            "agreement": round(float(words @ seen), DECIMALS),
        }


def _unit(output: Any) -> NDArray[np.float64]:
    """Returns the mean of the vectors that a model gave, scaled to length 1."""
    vectors = getattr(output, "pooler_output", output).double().cpu().numpy()
    mean: NDArray[np.float64] = vectors.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


MaterialKind: TypeAlias = Literal["image", "video", "sound"]
PICTURES_OF_A_FILM: Final = 4
"""How many key frames go into a joint embedding."""


class Looking:
    """What is in files, by the models that are named for it."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def names(self, kind: MaterialKind) -> str:
        """Returns the names of the models that a file of this kind is shown to; empty if none."""
        models = self._models
        heard = [f"{m.model}" for m in (models.speech, models.sounds) if m is not None]
        seen = [models.images.model] if models.images is not None else []
        named = {"image": seen, "video": [*seen, *heard] if seen else [], "sound": heard}[kind]
        return " + ".join(named)

    def look(self, kind: MaterialKind, file: Path) -> MaterialDescription:
        """Returns what is in a file.

        Raises:
            MaterialError: it cannot be read.
            BackendError: a model cannot be loaded, or failed.
        """
        if kind == "image":
            return self._eyes(open_image(file))
        if kind == "video":
            return self._watch(file)
        samples = samples_of(file)
        return self._ears.listen(samples) if samples is not None else MaterialDescription("silence")

    def pictures(self, kind: MaterialKind, file: Path) -> list[Image.Image]:
        """Returns the pictures in a file, or some of a film."""
        if kind == "image":
            return [open_image(file)]
        if kind == "video":
            return [scene.image for scene in key_frames(file, limit=PICTURES_OF_A_FILM)]
        return []

    def joint(self) -> Joint | None:
        """Returns the model of text and picture, if there is one."""
        return Joint(self._models.joint.model) if self._models.joint is not None else None

    def _watch(self, file: Path) -> MaterialDescription:
        """Returns a film in one line: its scenes one after the other, and what is heard."""
        scenes = [self._eyes(scene.image) for scene in key_frames(file)]
        captions = [words.description for words in scenes]
        told = [c for i, c in enumerate(captions) if c and (i == 0 or c != captions[i - 1])]
        attributes: dict[str, str] = {}
        for words in reversed(scenes):
            attributes |= words.attributes
        attributes["scenes"] = str(len(scenes))
        samples = samples_of(file) if self._models.speech or self._models.sounds else None
        if samples is not None:
            attributes |= self._ears.listen(samples).attributes
        return MaterialDescription(shortened(", then ".join(told)), attributes)

    @cached_property
    def _eyes(self) -> Seeing:
        if self._models.images is None:
            raise MaterialError(
                "no model looks at pictures; name one as images in a file of models"
            )
        return open_seeing(self._models.images)

    @cached_property
    def _ears(self) -> Listening:
        speech, sounds = self._models.speech, self._models.sounds
        return Listening(speech.model if speech else None, sounds.model if sounds else None)
