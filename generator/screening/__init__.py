"""Screening: what a model wrote gets to people only through these gates, each with a reason."""

from generator.screening.screen import (
    ALIKE,
    HARMFUL,
    OUTRANKED,
    STOP,
    Rejection,
    Screen,
    Verdict,
    Written,
    clean,
)
from generator.screening.settings import CODES, Thresholds, load_thresholds, usual

__all__ = [
    "ALIKE",
    "CODES",
    "HARMFUL",
    "OUTRANKED",
    "STOP",
    "Rejection",
    "Screen",
    "Thresholds",
    "Verdict",
    "Written",
    "clean",
    "load_thresholds",
    "usual",
]
