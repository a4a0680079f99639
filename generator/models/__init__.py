"""Backends: language models that complete prompts, on this machine or behind a server."""

from generator.models.base import SMOLLM2, Backend, Completion, Progress, Sampling, Usage
from generator.models.catalog import Models, load_models
from generator.models.opening import check_installed, open_backend

__all__ = [
    "SMOLLM2",
    "Backend",
    "Completion",
    "Models",
    "Progress",
    "Sampling",
    "Usage",
    "check_installed",
    "load_models",
    "open_backend",
]
