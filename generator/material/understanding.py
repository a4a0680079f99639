"""From a brief with files to one that says in words what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from generator.brief.schema import Brief, Material
from generator.errors import BackendMissing, MaterialError
from generator.material import MaterialDescription, cached, shortened
from generator.models.catalog import Models

if TYPE_CHECKING:
    from PIL import Image

    from generator.material.models import Joint, Looking

CACHE: Final = Path.home() / ".cache" / "copyloop" / "material"
WAY_OUT: Final = "or describe it in the brief"


class Understanding(NamedTuple):
    """A brief whose material is described, and what its pictures add to a creative's features."""

    brief: Brief
    images: tuple[Image.Image, ...] = ()
    joint: Joint | None = None

    def features(self, text: str) -> dict[str, object]:
        """Returns what the material says of a creative with this text, for policies to read."""
        found: dict[str, object] = {}
        attributes = {
            name: value for m in self.brief.material for name, value in m.attributes.items()
        }
        if attributes:
            found["material"] = attributes
        if self.joint is not None and self.images:
            found |= self.joint.features(text, self.images)
        return found


def understand(
    brief: Brief, models: Models, *, base: Path, confined: bool = False, cache: Path = CACHE
) -> Understanding:
    """Returns the brief with its files described by the models.

    What the brief itself says of a file wins: a description is not asked for again, attributes
    replace those of the same name.

    Args:
        brief: its files are relative to `base`.
        models: what looks and listens.
        base: a folder.
        confined: whether files must lie within `base`, as for a brief that came over a network.
        cache: where what was seen is kept, by content and model.

    Raises:
        MaterialError: a file cannot be read, or no model says what is in it.
        BackendMissing: a package is not installed; the message says which and how to get it.
        BackendError: a model cannot be loaded, or failed.
    """
    if all(material.file is None for material in brief.material):
        return Understanding(brief)
    try:
        from generator.material.models import Looking
    except ImportError as error:
        raise BackendMissing(
            f"material in files is read with Pillow, PyAV and transformers, and {error}; "
            "pip install 'copyloop[generator,material]'"
        ) from error
    eyes = Looking(models)
    described, images = [], []
    for position, material in enumerate(brief.material):
        if material.file is None:
            described.append(material)
            continue
        file = _located(material.file, base, position, confined=confined)
        words = _words(material, file, position, eyes, cache)
        if words is not None:
            description = shortened(words.description) or None
            attributes = {**words.attributes, **material.attributes}
            material = replace(material, description=description, attributes=attributes)
        described.append(material)
        if models.joint is not None:
            images += eyes.pictures(material.kind, file)
    joint = eyes.joint() if images else None
    return Understanding(replace(brief, material=tuple(described)), tuple(images), joint)


def _words(
    material: Material, file: Path, position: int, eyes: Looking, cache: Path
) -> MaterialDescription | None:
    """Returns what a model says of a file; None where the brief says enough itself."""
    if material.description is not None:
        return None
    models = eyes.names(material.kind)
    if models:
        return cached(cache, file, models, lambda: eyes.look(material.kind, file))
    if material.attributes:
        return None
    raise MaterialError(
        f"material[{position}]: {file}: no model says what is in {material.kind}s; name one in a "
        f"file of models (images for pictures and films, speech or sounds for sound), {WAY_OUT}"
    )


def _located(named: str, base: Path, position: int, *, confined: bool) -> Path:
    file = (base / named).resolve()
    if confined and not file.is_relative_to(base.resolve()):
        raise MaterialError(
            f"material[{position}].file: {named!r} is outside the generator's folder of material"
        )
    if not file.is_file():
        raise MaterialError(f"material[{position}].file: there is no file {file}; {WAY_OUT}")
    return file
