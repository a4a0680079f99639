"""Opens backends, and says what to install where one cannot be."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from generator.errors import BackendMissing
from generator.models.base import SMOLLM2, Backend
from generator.models.catalog import Endpoint, Models, TextModel, load_models


def check_installed(models: Models | str) -> None:
    """Returns if what the models that write need is installed, without loading any of it.

    Raises:
        ModelsError: the string names a file of models that cannot be read.
        BackendMissing: a package is not; the message says which and how to get it.
    """
    if isinstance(models, str):
        models = load_models(models)
    for text in models.text:
        for package, extra in _needed(text):
            if find_spec(package) is None:
                raise BackendMissing(
                    f"the generator needs {package}; pip install 'copyloop[{extra}]',"
                    " or go without: copyloop up --no-generator"
                )
        if text.model == SMOLLM2 and text.endpoint is None:
            from generator.models.packaged import packaged_source

            packaged_source()


def _needed(text: TextModel) -> list[tuple[str, str]]:
    """Returns the packages that a model needs, each with the extra that brings it."""
    if text.endpoint is not None:
        return [("openai", "remote")]
    needed = [("torch", "generator"), ("transformers", "generator")]
    if text.model == SMOLLM2:
        needed.append(("gguf", "generator"))
    if text.adapter is not None:
        needed.append(("peft", "generator"))
    return needed


def open_backend(models: Models | str, *, cache: Path | None = None) -> Backend:
    """Returns the models that write, loaded; several are pooled.

    A string is read as `load_models` does. `cache` is where the packaged model is kept once
    converted, by default `~/.cache/copyloop/models`.

    Raises:
        ModelsError: the string names a file of models that cannot be read.
        BackendMissing: a package is not installed; the message says which and how to get it.
        BackendError: a model cannot be loaded.
    """
    from generator.models.ensemble import Ensemble, Member

    if isinstance(models, str):
        models = load_models(models)
    opened: dict[TextModel, Backend] = {}
    members = []
    for text in models.text:
        # Members that differ by their adapter alone share one model in memory.
        bare = TextModel(model=text.model, endpoint=text.endpoint)
        if bare not in opened:
            opened[bare] = _open(bare, cache)
        members.append(Member(opened[bare], text.adapter, text.share))
    if len(members) == 1 and members[0].adapter is None:
        return members[0].backend
    return Ensemble(members)


def _open(text: TextModel, cache: Path | None) -> Backend:
    if text.endpoint is not None:
        return _open_remote(text.model, text.endpoint)
    try:
        from generator.models.transformers import TransformersBackend
    except ImportError as error:
        raise BackendMissing(
            f"the generator runs models with torch and transformers, and {error}; "
            "pip install 'copyloop[generator]'"
        ) from error
    if text.model != SMOLLM2:
        return TransformersBackend(text.model, name=text.model)
    from generator.models.packaged import packaged_model

    folder = packaged_model(cache or Path.home() / ".cache" / "copyloop" / "models")
    return TransformersBackend(str(folder), name=folder.name)


def _open_remote(model: str, endpoint: Endpoint) -> Backend:
    try:
        from generator.models.remote import RemoteBackend
    except ImportError as error:
        raise BackendMissing(
            f"models behind a server are asked with the openai package, and {error}; "
            "pip install 'copyloop[remote]'"
        ) from error
    from generator.settings import model_key

    return RemoteBackend(model, endpoint, key=model_key(endpoint.key_file))
