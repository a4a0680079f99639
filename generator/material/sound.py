"""What is heard: speech written down, and the names of other sounds, by models of the user's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from generator.errors import BackendError, MaterialError
from generator.material.pipelines import open_pipeline
from generator.material.words import Words, shortened

RATE: Final = 16_000
"""Samples a second; what models for speech and sounds are trained on."""
MAX_SECONDS: Final = 120
"""Of a sound no more than this is heard; adverts are shorter."""
TAGS: Final = 3
SURE: Final = 0.2
"""The least score of a sound that is named."""


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


def samples_of(file: Path) -> NDArray[np.float32] | None:
    """Returns the sound in a file of sound or film, at 16,000 samples a second; None if mute.

    Raises:
        MaterialError: the file cannot be read.
    """
    try:
        heard = list(_decoded(file))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MaterialError(f"{file}: cannot be read as sound: {error}") from error
    return np.concatenate(heard)[: MAX_SECONDS * RATE] if heard else None


def _decoded(file: Path) -> Iterator[NDArray[np.float32]]:
    with av.open(str(file)) as source:
        if not source.streams.audio:
            return
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        got = 0
        for frame in source.decode(audio=0):
            for piece in resampler.resample(frame):
                yield piece.to_ndarray().ravel().astype(np.float32)
                got += piece.samples
            if got >= MAX_SECONDS * RATE:
                return
        for piece in resampler.resample(None):
            yield piece.to_ndarray().ravel().astype(np.float32)
