"""What a training was made of, so that anyone can repeat it and nobody mistakes it for another."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from generator.errors import TrainingError
from generator.training.config import FinetuneConfig

MANIFEST: Final = "manifest.json"
ADAPTER: Final = "adapter"
WEIGHTS: Final = "adapter_model.safetensors"
PACKAGES: Final = ("copyloop", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


class Manifest(Struct, frozen=True, kw_only=True):
    """A finished run.

    Attributes:
        config: all that it was told.
        base_sha256: of the model's weight files.
        parent_sha256: of the adapter that it went on from, None where it began one.
        dataset_sha256: of the dataset's card, which has the hashes of the log behind it.
        rows: trained on, held out, and left out, as `imitate/train` or `left_out/too_long`.
        versions: of the packages that computed.
        device: as torch calls it.
        dtype: of the model's weights; the adapter's are float32.
        processes: that trained together.
        steps: what was measured on the way, each with `stage` and `step`.
        metrics: what was measured at the end, as `sft/held_out_loss`.
        seconds: on the clock, of all that was done in the last call.
        cpu_seconds: likewise, of this process.
        peak_rss_bytes: the most memory that the process had.
        adapter_sha256: of the weights that came out.
        reward_sha256: of the reward model that the method asked, None where it asks none.
    """

    config: FinetuneConfig
    base_sha256: str
    parent_sha256: str | None
    dataset_sha256: str
    rows: dict[str, int]
    versions: dict[str, str]
    device: str
    dtype: str
    processes: int
    steps: list[dict[str, float | str]]
    metrics: dict[str, float]
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    adapter_sha256: str
    reward_sha256: str | None = None
    v: int = 1


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Writes it; a folder with a manifest holds a finished run."""
    unfinished = folder / f"{MANIFEST}.unfinished"
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    unfinished.rename(folder / MANIFEST)


def read_manifest(path: Path) -> Manifest:
    """Returns the manifest in a file.

    Raises:
        TrainingError: there is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise TrainingError(f"no manifest in {path}: {error}") from error


def installed_versions() -> dict[str, str]:
    """Returns the versions of the packages that train; the ones not installed are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def files_hash(paths: Iterable[Path]) -> str:
    """Returns the SHA-256 of files, names and contents, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, "sha256")
        digest.update(f"{path.name}:{inner.hexdigest()}\n".encode())
    return digest.hexdigest()
