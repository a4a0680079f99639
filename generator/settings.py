"""What the generator is given from outside: a server's key, a folder for models, exit codes.

The only module of the generator that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from generator.errors import ModelsError

KEY_VARIABLE: Final = "COPYLOOP_MODEL_KEY"
CACHE: Final = Path.home() / ".cache" / "copyloop" / "models"
"""Where models are kept that were converted or fetched."""
UNLEARNED: Final = 3
"""The exit code of `reward-model` where traffic has not told enough yet."""
REFUSED: Final = 3
"""The exit code of `adopt` for a version that the gate refused."""

NOTHING_MADE: Final = 3
"""The exit code of `generate` where no creative passed the screen."""


def launched_with(environment: Mapping[str, str] = os.environ) -> str | None:
    """Returns what spreads the weights of a training over processes, None where nothing does.

    `accelerate launch` tells its processes so.
    """
    if environment.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        return "FSDP"
    if environment.get("ACCELERATE_USE_MEGATRON_LM", "").lower() == "true":
        return "MEGATRON_LM"
    deepspeed = environment.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true"
    if deepspeed and environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3":
        return "DeepSpeed's stage 3"
    return None


def model_key(key_file: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Returns the key, None where there is none: servers of one's own often want none.

    Raises:
        ModelsError: the file cannot be read or is empty.
    """
    if key_file is None:
        return environment.get(KEY_VARIABLE)
    try:
        key = Path(key_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelsError(f"key_file {key_file}: cannot be read: {error}") from error
    if not key:
        raise ModelsError(f"key_file {key_file}: is empty; it should hold the key alone")
    return key
