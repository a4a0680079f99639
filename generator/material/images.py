"""Says what is in pictures: by a model of `transformers`, or one behind an OpenAI-like server."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from PIL import Image, UnidentifiedImageError

from generator.errors import BackendError, MaterialError
from generator.material import MaterialDescription, shortened
from generator.models.catalog import Endpoint, SeeingModel
from generator.settings import model_key

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


Seeing: TypeAlias = Callable[[Image.Image], MaterialDescription]
"""Returns what is in a picture; raises `BackendError` if the model failed."""
Task: TypeAlias = Literal[
    "image-text-to-text", "automatic-speech-recognition", "audio-classification"
]


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


def parsed(answer: str, image: Image.Image) -> MaterialDescription:
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
    return MaterialDescription(
        shortened(described), dict(list(attributes.items())[:MAX_ATTRIBUTES])
    )


def open_seeing(model: SeeingModel) -> Seeing:
    """Returns the model that looks at pictures: of `transformers`, or behind a server.

    Raises:
        BackendError: it cannot be loaded.
    """
    if model.endpoint is None:
        return partial(_look, open_pipeline("image-text-to-text", model.model), model.model)
    key = model_key(model.endpoint.key_file)
    return partial(_ask, model.model, model.endpoint, key)


def open_pipeline(task: Task, model: str) -> Any:
    """Returns a pipeline of `transformers` for the task.

    Raises:
        BackendError: there is no such model, or it is of another kind.
    """
    from transformers import pipeline

    from generator.models.devices import pick_device, use_one_thread

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


def _look(pipe: Any, name: str, image: Image.Image) -> MaterialDescription:
    # One that was taught to talk is asked; one that only captions goes on from a beginning.
    talks = getattr(pipe.processor, "chat_template", None) is not None
    try:
        if talks:
            content = [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]
            [found] = pipe(
                text=[{"role": "user", "content": content}],
                max_new_tokens=MAX_NEW_TOKENS,
                return_full_text=False,
            )
        else:
            [found] = pipe(images=image, text=CAPTION_START, max_new_tokens=30)
    except (RuntimeError, ValueError) as error:
        raise BackendError(f"{name} failed on a picture: {error}") from error
    return parsed(found["generated_text"], image)


def _ask(
    model: str, endpoint: Endpoint, key: str | None, image: Image.Image
) -> MaterialDescription:
    from openai import APIError

    from generator.models.remote import open_client

    smaller = image.copy()
    smaller.thumbnail((SIDE, SIDE))
    data = io.BytesIO()
    smaller.save(data, "JPEG", quality=85)
    url = f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
    picture = {"type": "image_url", "image_url": {"url": url}}
    messages: Any = [{"role": "user", "content": [picture, {"type": "text", "text": QUESTION}]}]
    try:
        with open_client(endpoint, key) as client:
            answer = client.chat.completions.create(
                model=model, messages=messages, max_tokens=MAX_NEW_TOKENS, temperature=0.0
            )
    except APIError as error:
        raise BackendError(f"{model} at {endpoint.url} failed on a picture: {error}") from error
    return parsed(answer.choices[0].message.content or "", image)
