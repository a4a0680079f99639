"""One field in raw JSON, changed in place: everything around it keeps its bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Raw

_encode = msgspec.json.Encoder().encode
_object: Final[msgspec.json.Decoder[dict[str, Raw]]] = msgspec.json.Decoder(dict[str, Raw])
_array: Final[msgspec.json.Decoder[list[Raw]]] = msgspec.json.Decoder(list[Raw])


def changed_at(value: Raw, path: Sequence[str], change: Callable[[Raw], Raw]) -> Raw:
    """Returns the value with what is at the path changed, in every element of lists on the way.

    It is the same object where nothing is there, or `change` returned what it was given.

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
    fields = _object.decode(value)
    inner = fields.get(path[0])
    if inner is None:
        return value
    after = changed_at(inner, path[1:], change)
    if after is inner:
        return value
    return Raw(_encode({**fields, path[0]: after}))
