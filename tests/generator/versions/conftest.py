"""What tests of the gate share with those of training: a model small enough to train."""

from tests.generator.training.conftest import ground

__all__ = ["ground"]
