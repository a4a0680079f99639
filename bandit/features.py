"""From the JSON that a caller sends to what a policy computes with.

A context or an action is one JSON object, nested as it comes; policies want flat features: named
numbers in namespaces. Whatever is no feature is refused here, with its path.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from bandit.errors import FeatureError
from bandit.minilm import minilm, minilm_installed
from bandit.text import attributes, embed

MAX_DEPTH: Final = 8
MAX_VALUE: Final = 1e15
MAX_TOKEN: Final = 64
"""A longer name is written as a hash of itself."""

_SPECIAL: Final = re.compile(r"[\x00-\x20\x7f|:%]")


class Feature(NamedTuple):
    """A named number. `namespace` is the top-level key that it came from."""

    namespace: str
    name: str
    value: float


def flatten(features: Raw, *, namespace: str, zeros: bool = False) -> list[Feature]:
    """Returns the features in one JSON object, in its order.

    A top-level key whose value is an object or an array is a namespace; plain values at the top
    are of the given `namespace`. Names of what is nested are joined by dots. A number is a
    feature of that value (0 is left out), true one of value 1 (false is left out), and a string
    the feature `name=string` of value 1. In an array of numbers each is named by its position,
    strings and objects in an array are a set. null is as if the key were not there.

    Args:
        features: one JSON object.
        namespace: of the values at the top level.
        zeros: keep numbers that are 0, for whom midnight is an hour like any other.

    Raises:
        FeatureError: not an object, nested deeper than 8, a null in an array, an array in an
            array, or a number beyond 1e15; the message names the path.

    >>> flatten(Raw(b'{"hour": 9, "user": {"plan": "free", "new": true}}'), namespace="context")
    ... # doctest: +NORMALIZE_WHITESPACE
    [Feature(namespace='context', name='hour', value=9.0),
     Feature(namespace='user', name='plan=free', value=1.0),
     Feature(namespace='user', name='new', value=1.0)]
    """
    top = _decode(features)
    found: list[Feature] = []
    for key, value in top.items():
        if isinstance(value, dict | list):
            found += (Feature(key, n, v) for n, v in _walk("", value, key, 1))
        else:
            found += (Feature(namespace, n, v) for n, v in _walk(key, value, key, 1))
    return found if zeros else [feature for feature in found if feature.value]


def _decode(features: Raw) -> dict[str, object]:
    try:
        top = msgspec.json.decode(features)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FeatureError(f"features cannot be read: {error}") from error
    except RecursionError as error:
        raise FeatureError(f"features are nested deeper than {MAX_DEPTH}") from error
    if not isinstance(top, dict):
        raise FeatureError(f"features are {_shown(top)}; expected a JSON object")
    return top


def _walk(name: str, value: object, path: str, depth: int) -> Iterator[tuple[str, float]]:
    """Yields name and value of each feature in `value`; `path` is where it is, for errors."""
    if depth > MAX_DEPTH:
        raise FeatureError(f"features are nested deeper than {MAX_DEPTH} at {path}")
    match value:
        case bool() | None:
            if value:
                yield name, 1.0
        case int() | float():
            if not abs(value) <= MAX_VALUE:
                raise FeatureError(f"{path} is {value}; a feature is at most {MAX_VALUE:g}")
            yield name, float(value)
        case str():
            yield f"{name}={value}", 1.0
        case dict():
            for key, inner in value.items():
                yield from _walk(_join(name, key), inner, f"{path}.{key}", depth + 1)
        case list():
            for position, inner in enumerate(value):
                yield from _walk_item(name, position, inner, f"{path}.{position}", depth + 1)
        case _:
            raise FeatureError(f"{path} is {_shown(value)}; not a feature")


def _walk_item(
    name: str, position: int, value: object, path: str, depth: int
) -> Iterator[tuple[str, float]]:
    if value is None or isinstance(value, bool | list):
        raise FeatureError(f"{path} is {_shown(value)}; an array holds numbers, strings or objects")
    named = _join(name, str(position)) if isinstance(value, int | float) else name
    yield from _walk(named, value, path, depth)


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()[:40]


def vw_text(features: Iterable[Feature]) -> str:
    """Returns the features as one line of Vowpal Wabbit's text format, without a label.

    In names, what means something to that format (white space, `|`, `:`) is percent-encoded, so
    no text can become more features than it is; long names are hashed.

    >>> vw_text([Feature("user", "plan=a|b", 1.0), Feature("user", "age", 0.3)])
    '|user plan=a%7Cb age:0.3'
    """
    parts: list[str] = []
    current: str | None = None
    for namespace, name, value in features:
        if namespace != current:
            parts.append("|" + _token(namespace))
            current = namespace
        token = _token(name)
        parts.append(token if value == 1.0 else f"{token}:{value:.9g}")
    return " ".join(parts)


def _token(name: str) -> str:
    if len(name) > MAX_TOKEN:
        # The start is kept, since Vowpal Wabbit tells namespaces apart by their first letter.
        name = name[:16] + "~" + hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    # "%" alone is what no other name is written as.
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", name) or "%"


def hash_vector(features: Iterable[Feature], size: int, *, seed: int) -> NDArray[np.float64]:
    """Returns the features as one vector by signed hashing, shape (size,).

    Each feature adds its value, with a sign, at an index; both come from a hash of its name and
    the seed, so that inner products are kept on average (Weinberger et al. 2009, equation 2).

    >>> hash_vector([Feature("user", "age", 0.3)], 4, seed=1).round(1).tolist()
    [0.0, 0.3, 0.0, 0.0]
    """
    vector = np.zeros(size)
    key = seed.to_bytes(8, "big")
    for namespace, name, value in features:
        text = f"{namespace}\x00{name}".encode()
        digest = hashlib.blake2b(text, digest_size=8, key=key).digest()
        bits = int.from_bytes(digest, "big")
        vector[(bits >> 1) % size] += value if bits & 1 else -value
    return vector


Embedding: TypeAlias = Literal["wordllama", "minilm"]
"""What says what a text is about: quick and always there, or slower, and twice as telling."""


def default_embedding() -> Embedding:
    """Returns `minilm` where it is installed, which is how it is chosen, else `wordllama`."""
    return "minilm" if minilm_installed() else "wordllama"


def creative_features(parts: Mapping[str, str], embedding: Embedding | None = None) -> Raw:
    """Returns a creative's features, from its text alone, as one JSON object.

    `text` holds structural attributes. `embedding` (of wordllama) or `minilm` holds 32 numbers
    that say roughly what it is about: by another name, so that nobody takes the one for the
    other. Parts are taken together, in the order of their names.

    Args:
        parts: the creative's text by part.
        embedding: which; None is `default_embedding()`.

    Raises:
        EmbeddingError: it is not installed.

    >>> bytes(creative_features({"headline": "Sleep well tonight?"}))[:28]
    b'{"text":{"capitals":0.0625,"'
    """
    text = "\n".join(parts[name] for name in sorted(parts))
    form = attributes(text)
    if (embedding or default_embedding()) == "minilm":
        return Raw(msgspec.json.encode({"text": form, "minilm": minilm(text)}))
    return Raw(msgspec.json.encode({"text": form, "embedding": embed(text)}))
