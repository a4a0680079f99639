"""From which model a version was taught, and whether that is the one it is to be judged on.

An adapter on another model than its own writes noise, or fails in the middle of a matrix product.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from generator.errors import TrainingError, VersionMisfit
from generator.models import load_models
from generator.versions.store import Adopted


class _Config(Struct, frozen=True):
    model: str | None = None


class Origin(Struct, frozen=True):
    """What a manifest says of the model: its name in the config, and the hash of its weights."""

    config: _Config = _Config()
    base_sha256: str | None = None


UNTOLD: Final = Origin()


def origin_of(adopted: Adopted) -> Origin:
    """Returns what a version's manifest says of the model that it was taught from."""
    try:
        return msgspec.json.decode(adopted.manifest, type=Origin)
    except msgspec.ValidationError:  # written by another program, which may say it otherwise
        return UNTOLD


def check_origin(adopted: Adopted, model: str) -> None:
    """Returns if the version was taught from this model, by its name or by its weights.

    One whose manifest names no model passes: nobody can tell.

    Args:
        adopted: the version.
        model: named as `load_models` reads it.

    Raises:
        ModelsError: `model` names a file of models that cannot be read.
        VersionMisfit: it was taught from another.
    """
    origin = origin_of(adopted)
    taught_from, models = origin.config.model, load_models(model).text
    if taught_from is None or any(taught_from == each.model for each in models):
        return
    local = [each.model for each in models if each.endpoint is None]
    if origin.base_sha256 is not None and origin.base_sha256 in map(_weights_hash, local):
        return
    raise VersionMisfit(
        f"version {adopted.id} was taught from the model {taught_from!r}, and is to be judged on "
        f"{model!r}, whose weights are others; say --model {taught_from}"
    )


def _weights_hash(model: str) -> str | None:
    """Returns the hash of a model's weights, None where there is no such model here."""
    from generator.training.base import WEIGHT_FILES, model_folder
    from generator.training.manifest import files_hash

    try:
        folder = model_folder(model)
    except TrainingError:
        return None
    return files_hash(path for pattern in WEIGHT_FILES for path in folder.glob(pattern))
