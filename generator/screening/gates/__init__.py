"""The gates: pure functions that each look at a text for one thing, measure it, and say why."""

from generator.screening.gates.finding import Finding

__all__ = ["Finding"]
