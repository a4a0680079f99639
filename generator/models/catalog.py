"""Which models write, look and listen: from one name, or from a YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import replace

from generator.errors import ModelsError
from generator.files import AboveZero, FieldError, NotNegative, converted, read_file
from generator.models.base import SMOLLM2

Name: TypeAlias = Annotated[str, Meta(min_length=1)]


class Endpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to ask a server that speaks OpenAI's API.

    Attributes:
        url: of the API, up to and with `/v1`.
        api: `completions` continues a text; `chat` tells a model what is wanted, and gets whole
            texts.
        key_file: a file that holds the key and nothing else; without one, the variable
            `COPYLOOP_MODEL_KEY` is looked at.
        concurrency: requests at once.
        retries: of a request that failed for a reason that may pass, with growing waits.
        timeout_seconds: of one attempt.
        requests_per_minute: at most, None for no limit.
        tokens_per_minute: at most, read and written together.
        texts_per_request: of a chat: how many texts are asked for at once. A server that answers
            with fewer is asked for as many as that from then on.
        thinking_tokens: of a chat: added to the limit of each answer, for models that think first.
        price_read: of a million tokens read.
        price_written: of a million tokens written.
    """

    url: Annotated[str, Meta(pattern="^https?://")]
    api: Literal["completions", "chat"] = "completions"
    key_file: str | None = None
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 8
    retries: Annotated[int, Meta(ge=0, le=20)] = 5
    timeout_seconds: AboveZero = 120.0
    requests_per_minute: AboveZero | None = None
    tokens_per_minute: AboveZero | None = None
    texts_per_request: Annotated[int, Meta(ge=1, le=64)] = 8
    thinking_tokens: Annotated[int, Meta(ge=0)] = 0
    price_read: NotNegative = 0.0
    price_written: NotNegative = 0.0


class TextModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A language model; `share` is how much of the writing is its, beside the others."""

    model: Name
    adapter: Name | None = None
    share: AboveZero = 1.0
    endpoint: Endpoint | None = None


class SeeingModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that says what is in a picture: of `transformers`, or behind an endpoint."""

    model: Name
    endpoint: Endpoint | None = None


class LocalModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model that `transformers` loads, from a folder or the hub."""

    model: Name


class Models(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The models of a generator.

    Attributes:
        text: those that write, at least one.
        images: says what is in pictures and in the key frames of films.
        speech: writes down what is spoken.
        sounds: names what else is heard.
        joint: puts texts and pictures into one space, as CLIP does.
    """

    text: Annotated[tuple[TextModel, ...], Meta(min_length=1)] = (TextModel(model=SMOLLM2),)
    images: SeeingModel | None = None
    speech: LocalModel | None = None
    sounds: LocalModel | None = None
    joint: LocalModel | None = None


FILES: Final = (".yaml", ".yml", ".json")


def load_models(named: str, *, adapter: str | None = None) -> Models:
    """Returns the models that a word on the command line names.

    Args:
        named: `smollm2`, a folder or a hub id; `URL#NAME` for a model behind an OpenAI-compatible
            server; or a file of models, which ends in .yaml.
        adapter: to write with, in place of the adapters of the file.

    Raises:
        ModelsError: the file cannot be read, or what it says cannot be.
    """
    if named.endswith(FILES):
        models = read_file(Path(named), _models, ModelsError)
    elif named.startswith(("http://", "https://")):
        url, _, name = named.partition("#")
        if not name:
            raise ModelsError(f"{named!r} names no model; expected URL#NAME, as in {url}#my-model")
        models = Models(text=(TextModel(model=name, endpoint=Endpoint(url=url)),))
    else:
        models = Models(text=(TextModel(model=named),))
    if adapter is None:
        return models
    return replace(models, text=tuple(replace(text, adapter=adapter) for text in models.text))


def _models(content: object) -> Models:
    models = converted(content, Models)
    for position, text in enumerate(models.text):
        if text.model.startswith(("http://", "https://")):
            problem = f"is {text.model!r}; write the address as endpoint.url and the name here"
            raise FieldError(f"text[{position}].model", problem)
    return models
