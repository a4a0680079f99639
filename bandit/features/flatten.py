"""From the JSON that a caller sends to what a policy computes with.

A context or an action is one JSON object, nested as it comes; policies want flat features: named
numbers in namespaces. Whatever is no feature is refused here, with its path.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from bandit.errors import FeatureError
from bandit.features.language import language_of
from bandit.features.letters import letters
from bandit.features.text import attributes, embed, minilm, minilm_installed

MAX_DEPTH: Final = 8
MAX_VALUE: Final = 1e15
MAX_TOKEN: Final = 64
"""A longer name is written as a hash of itself."""

_fields: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
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
            _collect(found, key, "", value, key, 1)
        else:
            _collect(found, namespace, key, value, key, 1)
    return found if zeros else [feature for feature in found if feature.value]


def top_level(features: Raw) -> dict[str, Raw]:
    """Returns the fields of one JSON object, as they came.

    Raises:
        FeatureError: not an object, or it cannot be read.
    """
    try:
        return _fields.decode(features)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FeatureError(f"features cannot be read: {error}") from error


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


def _collect(
    found: list[Feature], namespace: str, name: str, value: object, path: str, depth: int
) -> None:
    """Adds each feature in `value`; `path` is where it is, for errors."""
    if depth > MAX_DEPTH:
        raise FeatureError(f"features are nested deeper than {MAX_DEPTH} at {path}")
    if isinstance(value, str):
        found.append(Feature(namespace, f"{name}={value}", 1.0))
    elif value is None or isinstance(value, bool):
        if value:
            found.append(Feature(namespace, name, 1.0))
    elif isinstance(value, int | float):
        if not abs(value) <= MAX_VALUE:
            raise FeatureError(f"{path} is {value}; a feature is at most {MAX_VALUE:g}")
        found.append(Feature(namespace, name, float(value)))
    elif isinstance(value, dict):
        for key, inner in value.items():
            at = f"{path}.{key}"
            _collect(found, namespace, _join(name, key), inner, at, depth + 1)
    elif isinstance(value, list):
        _collect_all(found, namespace, name, value, path, depth + 1)
    else:
        raise FeatureError(f"{path} is {_shown(value)}; not a feature")


def _collect_all(
    found: list[Feature], namespace: str, name: str, values: list[object], path: str, depth: int
) -> None:
    """Adds each feature in an array."""
    for position, inner in enumerate(values):
        at = f"{path}.{position}"
        if inner is None or isinstance(inner, bool | list):
            raise FeatureError(
                f"{at} is {_shown(inner)}; an array holds numbers, strings or objects"
            )
        named = _join(name, str(position)) if isinstance(inner, int | float) else name
        _collect(found, namespace, named, inner, at, depth)


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
    other. Both embeddings know English. Of another language, `text_zh` and the like hold the
    attributes and `letters` 32 numbers of its wording, so that nothing that was learned from
    English is believed of it. Parts are taken together, in the order of their names.

    Args:
        parts: the creative's text by part.
        embedding: which, of English; None is `default_embedding()`.

    Raises:
        EmbeddingError: it is not installed.

    >>> bytes(creative_features({"headline": "Sleep well tonight?"}))[:28]
    b'{"text":{"capitals":0.0625,"'
    """
    text = "\n".join(parts[name] for name in sorted(parts))
    language = language_of(text)
    form = attributes(text, language)
    if language != "en":
        named = {f"text_{language}": form, "letters": letters(text)}
        return Raw(msgspec.json.encode(named))
    if (embedding or default_embedding()) == "minilm":
        return Raw(msgspec.json.encode({"text": form, "minilm": minilm(text)}))
    return Raw(msgspec.json.encode({"text": form, "embedding": embed(text)}))


PERIODS: Final = {"hour": 24.0, "weekday": 7.0, "day_of_week": 7.0, "month": 12.0}
"""Numbers by these names, or by names that end in `.` or `_` and one of them, go in circles."""
HARMONICS: Final = 2
_PERIODIC: Final = re.compile(rf"(?:^|[._])({'|'.join(PERIODS)})\Z")
CACHE_SIZE: Final = 16_384
LONGEST_KEPT: Final = 256
"""A longer name is not kept: it may be a text that comes once, and as long as a request may be."""


def standardised(features: Iterable[Feature]) -> Iterator[Feature]:
    """Yields the features with every number brought to between -1 and 1.

    What goes in circles becomes sines and cosines of the whole period and of half of it, so that
    23 is next to 0. Another number stays as it is up to 1; a larger one becomes its place on a
    scale of powers of two, shared between the two marks that it lies between.

    >>> [(f.name, round(f.value, 2)) for f in standardised([Feature("user", "age", 48.0)])]
    [('age', 1.0), ('age~5', 0.42), ('age~6', 0.58)]
    """
    for feature in features:
        namespace, name, value = feature
        period = _period(name)
        if period is not None:
            yield from _circular(feature, period)
        elif abs(value) <= 1.0:
            yield feature
        else:
            sign = math.copysign(1.0, value)
            share, mark = math.modf(math.log2(abs(value)))
            yield Feature(namespace, name, sign)
            if mark:
                yield Feature(namespace, f"{name}~{mark:.0f}", sign * (1.0 - share))
            if share:
                yield Feature(namespace, f"{name}~{mark + 1.0:.0f}", sign * share)


def compressed(features: Iterable[Feature]) -> Iterator[Feature]:
    """Yields the features with every number brought to a small size, in one feature each.

    What goes in circles is as of `standardised`. Another number stays as it is up to 1; sixteen
    times as much adds 1 from there.

    >>> list(compressed([Feature("", "pixel", 16.0)]))
    [Feature(namespace='', name='pixel', value=2.0)]
    """
    for feature in features:
        namespace, name, value = feature
        period = _period(name)
        if period is not None:
            yield from _circular(feature, period)
        elif abs(value) <= 1.0:
            yield feature
        else:
            size = 1.0 + math.log2(abs(value)) / 4.0
            yield Feature(namespace, name, math.copysign(size, value))


def _circular(feature: Feature, period: float) -> Iterator[Feature]:
    """Yields sines and cosines of the whole period and of half of it."""
    namespace, name, value = feature
    angle = 2.0 * math.pi * value / period
    length = HARMONICS**-0.5
    for k in range(1, HARMONICS + 1):
        yield Feature(namespace, f"{name}~cos{k}", length * math.cos(k * angle))
        yield Feature(namespace, f"{name}~sin{k}", length * math.sin(k * angle))


@lru_cache(maxsize=CACHE_SIZE)
def name_hash(namespace: str, name: str) -> int:
    """Returns 64 bits that stand for a feature's name in a policy's state.

    What a context says of a visitor is in its features' names, and is not to be read there.

    >>> name_hash("context", "plan=gold") == name_hash("context", "plan=blue")
    False
    """
    text = f"{namespace}\x00{name}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


@lru_cache(maxsize=CACHE_SIZE)
def _period(name: str) -> float | None:
    # A string's name ends in its value: "hour=late" is no number.
    found = _PERIODIC.search(name)
    return None if found is None else PERIODS[found[1]]


def balanced(features: Iterable[Feature]) -> list[Feature]:
    """Returns the features scaled so that all namespaces count alike, and to length 1 in all.

    A namespace that is longer than 1 is shortened to that, so an embedding is not lost among
    many flags, nor are many flags worth more than one.
    """
    found = list(features)
    lengths = _lengths(found)
    return [Feature(n, name, value / lengths[n]) for n, name, value in found]


def _lengths(features: Iterable[Feature]) -> dict[str, float]:
    """Returns what each namespace's values are divided by to count alike."""
    squares: dict[str, float] = {}
    for namespace, _, value in features:
        squares[namespace] = squares.get(namespace, 0.0) + value * value
    total = math.sqrt(len(squares))
    return {name: total * max(math.sqrt(square), 1.0) for name, square in squares.items()}


class Codebook:
    """A random direction for every name: features become their weighted sum.

    A direction's entries are ±1/√size, by a hash of the name and the seed, so inner products are
    kept on average, off by about 1/√size (Achlioptas 2003, equation 4). As long as there are fewer
    names than dimensions, no two of them are ever mistaken for each other, as they are where
    names share buckets.

    >>> book = Codebook(4, seed=1)
    >>> book.vector([Feature("user", "age", 0.5)]).round(2).tolist()
    [0.25, 0.25, -0.25, 0.25]
    """

    def __init__(self, size: int, *, seed: int) -> None:
        self._size = size
        self._key = seed.to_bytes(8, "big")
        self._codes: dict[tuple[str, str], NDArray[np.float64]] = {}

    def vector(self, features: Iterable[Feature]) -> NDArray[np.float64]:
        """Returns the sum of the features' directions, shape (size,)."""
        total = np.zeros(self._size)
        for namespace, name, value in features:
            total += value * self.direction(namespace, name)
        return total

    def balanced_vector(self, features: Iterable[Feature]) -> NDArray[np.float64]:
        """Returns what `vector` does of `balanced` features, up to rounding, in half the time."""
        found = list(features)
        if not found:
            return np.zeros(self._size)
        lengths = _lengths(found)
        shares = np.array([value / lengths[namespace] for namespace, _, value in found])
        mixed: NDArray[np.float64] = shares @ np.array(
            [self.direction(namespace, name) for namespace, name, _ in found]
        )
        return mixed

    def direction(self, namespace: str, name: str) -> NDArray[np.float64]:
        """Returns the name's direction, kept from last time."""
        key = (namespace, name)
        found = self._codes.get(key)
        if found is None:
            found = self._draw(f"{namespace}\x00{name}")
            if len(namespace) + len(name) > LONGEST_KEPT:
                return found
            if len(self._codes) >= CACHE_SIZE:
                self._codes.clear()
            self._codes[key] = found
        return found

    def _draw(self, text: str) -> NDArray[np.float64]:
        digest = hashlib.shake_128(self._key + text.encode()).digest(-(-self._size // 8))
        bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8), count=self._size)
        return (2.0 * bits - 1.0).astype(np.float64) / math.sqrt(self._size)
