"""What a film or a sound holds, by PyAV: key frames, one from each scene, and samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generator.errors import MaterialError

SAMPLES_PER_SECOND: Final = 2.0
MAX_FILM_SECONDS: Final = 300.0
"""Of a film no more than this is looked at; adverts are shorter."""
MAX_SOUND_SECONDS: Final = 120
"""Of a sound no more than this is heard; adverts are shorter."""
RATE: Final = 16_000
"""Samples a second; what models for speech and sounds are trained on."""
CUT: Final = 0.35
"""Two samples are of different scenes if this share of their colours differs, in [0, 1]."""
BINS: Final = 4


class Scene(NamedTuple):
    """A stretch of film: when it begins, and the picture in its middle."""

    start_seconds: float
    image: Image.Image


def key_frames(file: Path, *, limit: int = 8) -> list[Scene]:
    """Returns up to `limit` scenes of a film, the longest ones, in their order.

    A scene ends where the histogram of colours changes (Zhang et al. 1993, section 3.1): cheap,
    and blind only to cuts between pictures of the same colours.

    Raises:
        MaterialError: the file is no film that can be read.
    """
    try:
        samples = list(_samples(file))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MaterialError(f"{file}: cannot be read as a film: {error}") from error
    if not samples:
        raise MaterialError(f"{file}: has no pictures in it")
    scenes: list[list[tuple[float, Image.Image]]] = []
    before: NDArray[np.float64] | None = None
    for at_seconds, image in samples:
        colours = _histogram(image)
        if before is None or float(np.abs(before - colours).sum() / 2) > CUT:
            scenes.append([])
        scenes[-1].append((at_seconds, image))
        before = colours
    longest = sorted(range(len(scenes)), key=lambda number: -len(scenes[number]))[:limit]
    return [
        Scene(scenes[number][0][0], scenes[number][len(scenes[number]) // 2][1])
        for number in sorted(longest)
    ]


def _samples(file: Path) -> Iterator[tuple[float, Image.Image]]:
    """Yields a picture every half second, with its time."""
    with av.open(str(file)) as film:
        if not film.streams.video:
            return
        due = 0.0
        for frame in film.decode(video=0):
            at_seconds = float(frame.time or 0.0)
            if at_seconds > MAX_FILM_SECONDS:
                return
            if at_seconds >= due:
                due = at_seconds + 1.0 / SAMPLES_PER_SECOND
                picture: Any = frame
                yield at_seconds, picture.to_image()


def _histogram(image: Image.Image) -> NDArray[np.float64]:
    """Returns the shares of 64 colours in a picture, shape (64,), summing to 1."""
    pixels = np.asarray(image.resize((64, 64)).convert("RGB"), dtype=np.int64) * BINS // 256
    codes = (pixels[..., 0] * BINS + pixels[..., 1]) * BINS + pixels[..., 2]
    counts = np.bincount(codes.ravel(), minlength=BINS**3)
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def samples_of(file: Path) -> NDArray[np.float32] | None:
    """Returns the sound in a file of sound or film, at 16,000 samples a second; None if mute.

    Raises:
        MaterialError: the file cannot be read.
    """
    try:
        heard = list(_decoded(file))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MaterialError(f"{file}: cannot be read as sound: {error}") from error
    return np.concatenate(heard)[: MAX_SOUND_SECONDS * RATE] if heard else None


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
            if got >= MAX_SOUND_SECONDS * RATE:
                return
        for piece in resampler.resample(None):
            yield piece.to_ndarray().ravel().astype(np.float32)
