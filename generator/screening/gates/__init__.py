"""The gates: pure functions that each look at a text for one thing, measure it, and say why."""

from __future__ import annotations

from typing import NamedTuple


class GateFinding(NamedTuple):
    """What a gate measured, and in words why it refuses the text; None where it does not."""

    score: float
    why: str | None = None

    @classmethod
    def counted(cls, why: str | None) -> GateFinding:
        """Returns the finding of a gate that looks for one thing: 1 where it is there, else 0."""
        return cls(0.0 if why is None else 1.0, why)
