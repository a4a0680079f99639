"""What a learner counts, for whoever looks on while it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass
class LearnCounts:
    """What a learner has done since it started."""

    interactions: int = 0
    refused: int = 0
    snapshots: int = 0
    refolds: int = 0


LEARN: Final = {
    "interactions": "Interactions folded into a policy.",
    "refused": "Records that could not be learned from; they are in the dead letters.",
    "snapshots": "Snapshots of policies published.",
    "refolds": "Placements whose policy was folded anew, after a change of it.",
}
"""The same in words, by field."""
