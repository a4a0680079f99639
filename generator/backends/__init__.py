"""Backends: what completes a prompt.

The rest of the generator knows this protocol alone; torch is imported only once a model is
really opened, so that a copyloop without it starts, and says what is missing when asked to write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from generator.errors import BackendMissing

SMOLLM2: Final = "smollm2"
"""The name of the model that comes as a package."""

Progress: TypeAlias = Callable[[float], None]
"""Told what share of a call is done, in (0, 1]."""


class Backend(Protocol):
    """A language model that continues texts."""

    @property
    def name(self) -> str:
        """What a creative's lineage says wrote it."""

    def complete(
        self,
        prompts: Sequence[str],
        *,
        seed: int,
        stop: str,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        progress: Progress | None = None,
    ) -> list[str]:
        """Returns a continuation of each prompt, drawn anew for prompts that are the same.

        A continuation ends with the first character of `stop` in it, or with the whole of `stop`
        where the model ended it by itself; one with neither was cut off after `max_new_tokens`.
        The same arguments on the same machine give the same continuations.

        Args:
            prompts: any number, of any lengths that the model can read.
            seed: of the draws, in [0, 2**63).
            stop: characters, at least one.
            max_new_tokens: at least 1.
            temperature: above 0; lower keeps to the likelier.
            top_p: in (0, 1]; draws from the likeliest tokens that make up this mass.
            progress: called as the work goes on.

        Raises:
            BackendError: the model failed, for want of memory say.
        """


def check_installed(model: str) -> None:
    """Returns if what the model needs is installed, without loading any of it.

    Raises:
        BackendMissing: a package is not; the message says which and how to get it.
    """
    needed = ["torch", "transformers"] + (["gguf"] if model == SMOLLM2 else [])
    for package in needed:
        if find_spec(package) is None:
            raise BackendMissing(
                f"the generator needs {package}; pip install 'copyloop[generator]',"
                " or go without: copyloop up --no-generator"
            )
    if model == SMOLLM2:
        from generator.backends.packaged import packaged_source

        packaged_source()


def open_backend(model: str, *, cache: Path | None = None) -> Backend:
    """Returns the model, loaded: `smollm2` (packaged), a folder, or a hub id.

    `cache` is where the packaged model is kept once converted, by default
    `~/.cache/copyloop/models`.

    Raises:
        BackendMissing: a package is not installed; the message says which and how to get it.
        BackendError: the model cannot be loaded.
    """
    try:
        from generator.backends.transformers import TransformersBackend
    except ImportError as error:
        raise BackendMissing(
            f"the generator runs models with torch and transformers, and {error}; "
            "pip install 'copyloop[generator]'"
        ) from error
    if model != SMOLLM2:
        return TransformersBackend(model, name=model)
    from generator.backends.packaged import packaged_model

    folder = packaged_model(cache or Path.home() / ".cache" / "copyloop" / "models")
    return TransformersBackend(str(folder), name=folder.name)
