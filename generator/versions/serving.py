"""Who writes the answer to a request: the champion, the version that was asked for, or nobody's.

On a model that is loaded here the version is its adapter's folder. A server of vLLM's is told to
load it first, under the version's id; an id never means another adapter. It loads LoRA alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import msgspec

from generator.errors import BackendError, VersionMissing
from generator.models.adapters import SHAPE
from generator.models.base import Backend
from generator.versions.store import Versions
from generator.writing.requests import ActiveVersion
from streams.catalogue.state import Catalogue
from streams.events import Generation
from streams.events.creatives import GeneratorVersion

LOADED: Final = "already been loaded"
"""What vLLM says of a name that it knows."""
SPEAKING: Final = ("canary", "live")


LORA: Final = "LORA"


class _Shape(msgspec.Struct):
    """What peft says of an adapter, as far as it matters here."""

    peft_type: str = LORA


@runtime_checkable
class LoadsAdapters(Protocol):
    """A backend whose server has to be told of an adapter before it is asked for by name."""

    def load_adapter(self, name: str, path: str) -> None:
        """Has the server load the adapter; raises `BackendError` if it refuses."""


def version_resolver(
    backend: Callable[[], Backend], versions: Versions
) -> Callable[[Catalogue, Generation], ActiveVersion]:
    """Returns what says who answers a request, and makes them ready.

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
            _load(served, found.id, folder)
            loaded.add(found.id)
        return ActiveVersion(found.id, found.id)

    return active


def _load(served: LoadsAdapters, version_id: str, folder: str) -> None:
    kind = msgspec.json.decode((Path(folder) / SHAPE).read_bytes(), type=_Shape).peft_type
    if kind != LORA:
        raise BackendError(
            f"version {version_id} is a {kind} adapter, and the server loads LoRA adapters only; "
            "write with a model that is loaded here, or teach with adapter.kind lora or adalora"
        )
    try:
        served.load_adapter(version_id, folder)
    except BackendError as error:
        # From before this process started; an id never means another adapter.
        if LOADED not in str(error):
            raise


def _who(catalogue: Catalogue, generation: Generation) -> GeneratorVersion | None:
    if not generation.version:
        return catalogue.champion
    found = catalogue.generator_version(generation.version)
    if found is None or found.status not in SPEAKING:
        status = "unknown" if found is None else found.status
        raise VersionMissing(f"version {generation.version} is {status}, so it writes no more")
    return found
