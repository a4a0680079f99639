"""Versions on disk: a folder each, named by what is in it; and which of them writes.

Each says from which model it was taught: an adapter on another model than its own writes noise, or
fails in the middle of a matrix product.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from generator.errors import (
    TrainingError,
    VersionDamaged,
    VersionMisfit,
    VersionMissing,
)
from generator.models.base import SHAPE, Backend, LoadsAdapters
from generator.models.catalog import load_models
from generator.models.opening import ADAPTER, MANIFEST, Origin
from generator.writing.requests import ActiveVersion
from streams.catalogue.state import Catalogue
from streams.events import Generation
from streams.events.creatives import GeneratorVersion

DIGITS: Final = 16
UNTOLD: Final = ("steps",)
"""What of a manifest stays on disk: too long for the log, which keeps the rest."""


class Adopted(NamedTuple):
    """A version on disk: its id, its LoRA adapter's folder, and its training's manifest."""

    id: str
    adapter: Path
    manifest: Raw


class Versions:
    """The versions in a folder, by id.

    An id is the hash of the manifest and the adapter, so what is loaded under it can be nothing
    else: each is checked the first time that it is asked for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checked: dict[str, Adopted] = {}

    def adopt(self, trained: Path) -> Adopted:
        """Copies what a training wrote (`manifest.json` and `adapter/`) and returns the version.

        The same training is the same version, however often it is adopted; one that is killed on
        the way leaves nothing that is taken for a version.

        Raises:
            VersionMissing: the folder is not one that a finished training wrote, or it scores
                texts and writes none.
        """
        version_id = _hash(trained)
        if _origin(_manifest(trained / MANIFEST)).config.method == "reward":
            raise VersionMissing(
                f"{trained} is a reward model, which writes nothing; give it as --reward"
            )
        target = self._folder / version_id
        if not target.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished = self._folder / f".{version_id}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            shutil.copytree(trained / ADAPTER, unfinished / ADAPTER)
            shutil.copyfile(trained / MANIFEST, unfinished / MANIFEST)
            unfinished.rename(target)
        return self.version(version_id)

    def version(self, version_id: str) -> Adopted:
        """Returns a version.

        Raises:
            VersionMissing: there is none by that id here.
            VersionDamaged: its bytes are not those that it is named by.
        """
        if version_id not in self._checked:
            folder = self._folder / version_id
            if not folder.is_dir():
                raise VersionMissing(
                    f"{self._folder} has no version {version_id!r}; copy its folder there from the "
                    "machine that trained it, or roll back"
                )
            found = _hash(folder)
            if found != version_id:
                raise VersionDamaged(
                    f"{folder} holds the bytes of {found}: it was damaged or changed; restore it "
                    "from a copy, or roll back"
                )
            manifest = Raw(_manifest(folder / MANIFEST))
            self._checked[version_id] = Adopted(version_id, folder / ADAPTER, manifest)
        return self._checked[version_id]


def versions_in(data: Path) -> Path:
    """Returns where a data folder keeps the versions."""
    return data / "generator" / "versions"


def summary(manifest: Raw) -> Raw:
    """Returns the manifest as the log keeps it.

    >>> bytes(summary(Raw(b'{"steps": [1, 2], "seed": 1}')))
    b'{"seed":1}'
    """
    fields = msgspec.json.decode(manifest, type=dict[str, Raw])
    return Raw(msgspec.json.encode({k: v for k, v in fields.items() if k not in UNTOLD}))


def _hash(folder: Path) -> str:
    """Returns the id of what is in a folder: names and contents, the manifest first."""
    adapter = folder / ADAPTER
    if not (adapter / SHAPE).is_file():
        raise VersionMissing(
            f"{folder} has no {ADAPTER}/adapter_config.json; expected the folder that copyloop "
            "generator finetune wrote"
        )
    _manifest(folder / MANIFEST)
    digest = hashlib.sha256()
    files = (path for path in sorted(adapter.rglob("*")) if path.is_file())
    for path in (folder / MANIFEST, *files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\n{content}\n".encode())
    return digest.hexdigest()[:DIGITS]


def _manifest(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        msgspec.json.decode(data, type=dict[str, Raw])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise VersionMissing(
            f"{path} is no manifest of a finished training; run copyloop generator finetune to "
            f"its end first: {error}"
        ) from error
    return data


def _origin(manifest: bytes) -> Origin:
    try:
        return msgspec.json.decode(manifest, type=Origin)
    except msgspec.ValidationError:  # written by another program, which may say it otherwise
        return Origin()


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
    origin = _origin(adopted.manifest)
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
    from generator.models.opening import model_folder, weights_hash

    try:
        return weights_hash(model_folder(model))
    except TrainingError:
        return None


SPEAKING: Final = ("canary", "live")


def version_resolver(
    backend: Callable[[], Backend], versions: Versions
) -> Callable[[Catalogue, Generation], ActiveVersion]:
    """Returns what says who answers a request, and makes them ready.

    On a model that is loaded here the version is its adapter's folder. A server of vLLM's is told
    to load it first, under the version's id. It loads LoRA alone.

    It raises:
        VersionMissing: the version is not on this machine, or may not write any more.
        VersionDamaged: its bytes are not those that it is named by.
        BackendError: the server would not load it.
    """
    loaded: set[str] = set()

    def active(catalogue: Catalogue, generation: Generation) -> ActiveVersion:
        found = _who(catalogue, generation)
        if found is None:
            return ActiveVersion()
        folder = str(versions.version(found.id).adapter)
        served = backend()
        if not isinstance(served, LoadsAdapters):
            return ActiveVersion(found.id, folder)
        if found.id not in loaded:
            served.load_adapter(found.id, folder)
            loaded.add(found.id)
        return ActiveVersion(found.id, found.id)

    return active


def _who(catalogue: Catalogue, generation: Generation) -> GeneratorVersion | None:
    if not generation.version:
        return catalogue.champion
    found = catalogue.generator_version(generation.version)
    if found is None or found.status not in SPEAKING:
        status = "unknown" if found is None else found.status
        raise VersionMissing(f"version {generation.version} is {status}, so it writes no more")
    return found
