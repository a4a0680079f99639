"""Opens the models that look and listen, on the device that the generator runs on."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from transformers import pipeline

from generator.errors import BackendError
from generator.models.device import pick_device, use_one_thread

Task: TypeAlias = Literal[
    "image-text-to-text", "automatic-speech-recognition", "audio-classification"
]


def open_pipeline(task: Task, model: str) -> Any:
    """Returns a pipeline of `transformers` for the task.

    Raises:
        BackendError: there is no such model, or it is of another kind.
    """
    use_one_thread()
    device = pick_device()
    opened: Any = pipeline
    try:
        return opened(task, model=model, device=device.name)
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(
            f"model {model!r} cannot be loaded for {task}: expected a folder or a hub id of a "
            f"model of that kind: {error}"
        ) from error
