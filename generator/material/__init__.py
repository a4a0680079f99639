"""Material in words: what pictures show, what happens in films, what is heard."""

from generator.material.understanding import Understanding, understand

__all__ = ["Understanding", "understand"]
