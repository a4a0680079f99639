"""What a brief shows beside its words: pictures, films and sound, by file, with what they hold."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from generator.brief.text import Attributes, Text


class Material(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file, or a description of one.

    `file` is a path, relative to the brief's own. What is said here wins over what a model sees
    in it: a `description` is taken in its place, and `attributes` in place of those of the same
    name. Without a file the description is all there is.
    """

    kind: Literal["image", "video", "sound"]
    file: Text | None = None
    description: Text | None = None
    attributes: Attributes = {}

    def said(self) -> tuple[str, ...]:
        """Returns the description and the attributes, each as words."""
        described = (self.description,) if self.description else ()
        return (*described, *(f"{name}: {value}" for name, value in self.attributes.items()))
