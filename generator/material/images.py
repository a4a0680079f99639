"""Says what is in pictures: by a model of `transformers`, or one behind an OpenAI-like server."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, Final, Protocol

from PIL import Image, UnidentifiedImageError

from generator.errors import BackendError, MaterialError
from generator.material import Words, shortened
from generator.models.catalog import Endpoint, SeeingModel

CAPTION_START: Final = "a photo of"
"""What captioning models were taught to go on from."""
QUESTION: Final = (
    "Describe this picture in one short sentence for someone who writes an advert with it. Then, "
    "each on a line of its own, up to five attributes as 'name: value': setting, people, objects, "
    "mood, style."
)
MAX_NEW_TOKENS: Final = 120
MAX_ATTRIBUTES: Final = 8
SIDE: Final = 1024
"""Larger pictures are sent smaller: models look at no more."""
COLOURS: Final = {
    "black": (20, 20, 20),
    "white": (240, 240, 240),
    "grey": (128, 128, 128),
    "red": (200, 30, 30),
    "orange": (240, 140, 30),
    "yellow": (245, 220, 60),
    "green": (50, 150, 60),
    "blue": (40, 80, 190),
    "purple": (130, 60, 160),
    "pink": (240, 150, 180),
    "brown": (120, 75, 40),
    "beige": (220, 200, 165),
}


class Seeing(Protocol):
    """Something that looks at a picture."""

    def look(self, image: Image.Image) -> Words:
        """Returns what is in it.

        Raises:
            BackendError: the model failed.
        """


def open_image(file: Path) -> Image.Image:
    """Returns a picture.

    Raises:
        MaterialError: the file is none that Pillow reads, or far too large.
    """
    try:
        with Image.open(file) as opened:
            return opened.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise MaterialError(f"{file}: cannot be read as a picture: {error}") from error


def plain_attributes(image: Image.Image) -> dict[str, str]:
    """Returns what can be told of a picture without a model: main colour, shape, brightness.

    >>> plain_attributes(Image.new("RGB", (40, 20), (200, 30, 30)))
    {'colour': 'red', 'shape': 'wide', 'brightness': 'dark'}
    """
    small = image.resize((16, 16))
    data = small.tobytes()
    pixels = [tuple(data[i : i + 3]) for i in range(0, len(data), 3)]
    named = [min(COLOURS, key=lambda name: _distance(COLOURS[name], pixel)) for pixel in pixels]
    light = sum(sum(pixel) for pixel in pixels) / (3 * 255 * len(pixels))
    ratio = image.width / image.height
    return {
        "colour": max(COLOURS, key=named.count),
        "shape": "wide" if ratio > 1.2 else "tall" if ratio < 1 / 1.2 else "square",
        "brightness": "bright" if light > 0.66 else "dark" if light < 0.35 else "medium",
    }


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def parsed(answer: str, image: Image.Image) -> Words:
    r"""Returns a model's answer as a description and attributes, with the plain ones.

    >>> parsed("A red cup.\nsetting: a kitchen", Image.new("RGB", (9, 9))).attributes["setting"]
    'a kitchen'
    """
    lines = [line.strip(" -*•") for line in answer.splitlines() if line.strip()]
    described = next((line for line in lines if ":" not in line), lines[0] if lines else "")
    attributes = plain_attributes(image)
    for line in lines:
        name, found, value = line.partition(":")
        if found and value.strip() and len(name) <= 30 and line != described:
            attributes[name.strip().lower()] = shortened(value)
    return Words(shortened(described), dict(list(attributes.items())[:MAX_ATTRIBUTES]))


def open_seeing(model: SeeingModel) -> Seeing:
    """Returns the model that looks at pictures.

    Raises:
        BackendError: it cannot be loaded.
    """
    if model.endpoint is not None:
        from generator.settings import model_key

        return RemoteSeeing(model.model, model.endpoint, model_key(model.endpoint.key_file))
    return LocalSeeing(model.model)


class LocalSeeing:
    """A model of `transformers` for image-text-to-text, from a folder or the hub."""

    def __init__(self, model: str) -> None:
        from generator.material.models import open_pipeline

        self.name = model
        self._pipe = open_pipeline("image-text-to-text", model)

    def look(self, image: Image.Image) -> Words:
        """Returns what is in a picture (see `Seeing.look`)."""
        # One that was taught to talk is asked; one that only captions goes on from a beginning.
        talks = getattr(self._pipe.processor, "chat_template", None) is not None
        try:
            if talks:
                content = [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]
                [found] = self._pipe(
                    text=[{"role": "user", "content": content}],
                    max_new_tokens=MAX_NEW_TOKENS,
                    return_full_text=False,
                )
            else:
                [found] = self._pipe(images=image, text=CAPTION_START, max_new_tokens=30)
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"{self.name} failed on a picture: {error}") from error
        return parsed(found["generated_text"], image)


class RemoteSeeing:
    """A model behind a server that takes pictures in a conversation, as OpenAI's API has it."""

    def __init__(self, model: str, endpoint: Endpoint, key: str | None) -> None:
        self._model, self._endpoint, self._key = model, endpoint, key

    def look(self, image: Image.Image) -> Words:
        """Returns what is in a picture (see `Seeing.look`)."""
        from openai import APIError

        from generator.models.remote import open_client

        endpoint = self._endpoint
        picture = {"type": "image_url", "image_url": {"url": _data_url(image)}}
        messages: Any = [{"role": "user", "content": [picture, {"type": "text", "text": QUESTION}]}]
        try:
            with open_client(endpoint, self._key) as client:
                answer = client.chat.completions.create(
                    model=self._model, messages=messages, max_tokens=MAX_NEW_TOKENS, temperature=0.0
                )
        except APIError as error:
            raise BackendError(
                f"{self._model} at {endpoint.url} failed on a picture: {error}"
            ) from error
        return parsed(answer.choices[0].message.content or "", image)


def _data_url(image: Image.Image) -> str:
    smaller = image.copy()
    smaller.thumbnail((SIDE, SIDE))
    data = io.BytesIO()
    smaller.save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
