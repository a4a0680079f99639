r"""What JSON text means, however it is spelled: values at a path, keys that stand twice, escapes.

One value has many spellings (`\/`, `\u0061`, raw or escaped letters), and an object may name a key
twice, of which readers take the last and drop the others unseen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

_encode = msgspec.json.Encoder().encode
_object: Final[msgspec.json.Decoder[dict[str, Raw]]] = msgspec.json.Decoder(dict[str, Raw])
_array: Final[msgspec.json.Decoder[list[Raw]]] = msgspec.json.Decoder(list[Raw])
# What is asked is where a value ends, so numbers may stay the text that they are.
_read = json.JSONDecoder(parse_int=str, parse_float=str, strict=False).raw_decode
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_ESCAPES: Final = re.compile(rb'(?:\\u[0-9a-fA-F]{4})+|\\["\\/bfnrt]')


def changed_at(value: Raw, path: Sequence[str], change: Callable[[Raw], Raw]) -> Raw:
    """Returns the value with what is at the path changed, in every element of lists on the way.

    It is the same object where nothing is there, or `change` returned what it was given. Of a key
    that stands twice, each value is looked at; where one is changed, only the last one stays.

    >>> bytes(changed_at(Raw(b'{"a":[{"b":1.0},{"c":2}]}'), ["a", "b"], lambda _: Raw(b"0")))
    b'{"a":[{"b":0},{"c":2}]}'
    """
    first = bytes(memoryview(value)[:1])
    if first == b"[":
        elements = _array.decode(value)
        new = [changed_at(element, path, change) for element in elements]
        if all(one is other for one, other in zip(new, elements, strict=True)):
            return value
        return Raw(_encode(new))
    if not path:
        return change(value)
    if first != b"{":
        return value
    before = _values_of(value, path[0])
    after = [changed_at(inner, path[1:], change) for inner in before]
    if all(one is other for one, other in zip(after, before, strict=True)):
        return value
    return Raw(_encode({**_object.decode(value), path[0]: after[-1]}))


def _values_of(value: Raw, name: str) -> list[Raw]:
    """Returns the values that an object has by a name, the last of which is what readers take."""
    text = bytes(value)
    if b"\\" not in text and text.count(_encode(name)) < 2:
        inner = _object.decode(value).get(name)
        return [] if inner is None else [inner]
    return [Raw(inner) for key, inner in _pairs(text) if key == name]


def _pairs(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yields every key of an object with its value as it is spelled, also a key that stands twice.

    Raises:
        ValueError: it is no JSON object.
    """
    text = data.decode(errors="surrogateescape")
    at = _space(text, 1)
    while text[at] != "}":
        key, at = _read(text, _space(text, at + (text[at] == ",")))
        start = _space(text, _space(text, at) + 1)
        _, end = _read(text, start)
        yield key, text[start:end].encode(errors="surrogateescape")
        at = _space(text, end)


def _space(text: str, at: int) -> int:
    """Returns where the white space from a place on ends."""
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def unescaped(data: bytes) -> bytes:
    r"""Returns bytes with every escape of JSON in them undone, whatever else they are.

    >>> unescaped(rb'{"mail":"\u0061da\/x')
    b'{"mail":"ada/x'
    """
    return _ESCAPES.sub(
        lambda found: json.loads(b'"%b"' % found[0]).encode(errors="surrogatepass"), data
    )


def values_at(data: bytes, path: Sequence[str]) -> Iterator[object]:
    """Yields what JSON has at a path that begins anywhere in it, in texts that are JSON too.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deep.
    """
    # An object is a tuple of its pairs here, so that keys which stand twice are all seen.
    waiting: list[Any] = [json.loads(data, object_pairs_hook=tuple)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple):
            yield from _leaves(node, path)
            waiting += [inner for _, inner in node]
        elif isinstance(node, list):
            waiting += node
        elif isinstance(node, str) and node[:1] in ("{", "["):
            try:
                waiting.append(json.loads(node, object_pairs_hook=tuple))
            except ValueError:
                continue


def _leaves(node: Any, path: Sequence[str]) -> Iterator[object]:
    """Yields what is at the path from a node on, in every element of lists on the way."""
    if isinstance(node, list):
        for element in node:
            yield from _leaves(element, path)
    elif not path:
        yield node
    elif isinstance(node, tuple):
        for key, inner in node:
            if key == path[0]:
                yield from _leaves(inner, path[1:])
