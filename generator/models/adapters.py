"""Adapters on disk, as a training leaves them: `adapter/` and, written last, `manifest.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from generator.errors import TrainingError

MANIFEST: Final = "manifest.json"
ADAPTER: Final = "adapter"
WEIGHTS: Final = "adapter_model.safetensors"
SHAPE: Final = "adapter_config.json"

T = TypeVar("T")


class TaughtBy(Struct, frozen=True):
    """What a manifest's configuration says of the method and the model."""

    method: str = ""
    model: str | None = None


class Origin(Struct, frozen=True):
    """What whoever loads an adapter reads of its manifest; another program may say less.

    Attributes:
        config: the method, and the name of the model that was taught.
        base_sha256: the hash of the model's weights.
        metrics: what was measured at the end.
    """

    config: TaughtBy = TaughtBy()
    base_sha256: str | None = None
    metrics: dict[str, float] = {}


def read_manifest(path: Path, kind: type[T]) -> T:
    """Returns the manifest in a file, as far as `kind` reads it.

    Raises:
        TrainingError: there is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise TrainingError(f"no manifest in {path}: {error}") from error
