"""The models that look and listen, each opened when it is first needed."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Final, Literal, TypeAlias

from PIL import Image

from generator.errors import MaterialError
from generator.material import Words, shortened
from generator.material.decoding import key_frames, samples_of
from generator.material.images import Seeing, open_image, open_seeing
from generator.material.models import Joint, Listening
from generator.models.catalog import Models

Kind: TypeAlias = Literal["image", "video", "sound"]
PICTURES_OF_A_FILM: Final = 4
"""How many key frames go into a joint embedding."""


class Looking:
    """What is in files, by the models that are named for it."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def names(self, kind: Kind) -> str:
        """Returns the names of the models that a file of this kind is shown to; empty if none."""
        models = self._models
        heard = [f"{m.model}" for m in (models.speech, models.sounds) if m is not None]
        seen = [models.images.model] if models.images is not None else []
        named = {"image": seen, "video": [*seen, *heard] if seen else [], "sound": heard}[kind]
        return " + ".join(named)

    def look(self, kind: Kind, file: Path) -> Words:
        """Returns what is in a file.

        Raises:
            MaterialError: it cannot be read.
            BackendError: a model cannot be loaded, or failed.
        """
        if kind == "image":
            return self._eyes.look(open_image(file))
        if kind == "video":
            return self._watch(file)
        samples = samples_of(file)
        return self._ears.listen(samples) if samples is not None else Words("silence")

    def pictures(self, kind: Kind, file: Path) -> list[Image.Image]:
        """Returns the pictures in a file, or some of a film."""
        if kind == "image":
            return [open_image(file)]
        if kind == "video":
            return [scene.image for scene in key_frames(file, limit=PICTURES_OF_A_FILM)]
        return []

    def joint(self) -> Joint | None:
        """Returns the model of text and picture, if there is one."""
        return Joint(self._models.joint.model) if self._models.joint is not None else None

    def _watch(self, file: Path) -> Words:
        """Returns a film in one line: its scenes one after the other, and what is heard."""
        scenes = [self._eyes.look(scene.image) for scene in key_frames(file)]
        captions = [words.description for words in scenes]
        told = [c for i, c in enumerate(captions) if c and (i == 0 or c != captions[i - 1])]
        attributes: dict[str, str] = {}
        for words in reversed(scenes):
            attributes |= words.attributes
        attributes["scenes"] = str(len(scenes))
        samples = samples_of(file) if self._models.speech or self._models.sounds else None
        if samples is not None:
            attributes |= self._ears.listen(samples).attributes
        return Words(shortened(", then ".join(told)), attributes)

    @cached_property
    def _eyes(self) -> Seeing:
        if self._models.images is None:
            raise MaterialError(
                "no model looks at pictures; name one as images in a file of models"
            )
        return open_seeing(self._models.images)

    @cached_property
    def _ears(self) -> Listening:
        speech, sounds = self._models.speech, self._models.sounds
        return Listening(speech.model if speech else None, sounds.model if sounds else None)
