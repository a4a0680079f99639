"""The pieces of text that briefs are made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Texts: TypeAlias = Annotated[tuple[Text, ...], Meta(max_length=16)]
Words: TypeAlias = Annotated[tuple[Text, ...], Meta(max_length=200)]
Attributes: TypeAlias = Annotated[dict[Text, Text | float | bool], Meta(max_length=32)]
"""Named properties: {"roast": "medium", "weight_g": 250}."""
