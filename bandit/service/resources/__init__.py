"""The admin routes, by resource: what people and their tools read and change."""

from __future__ import annotations

from typing import Final

from bandit.service.resources import (
    creatives,
    decisions,
    generations,
    generator,
    letters,
    outcomes,
    placements,
    policies,
    review,
)

ROUTERS: Final = (
    placements.router,
    review.router,
    creatives.router,
    generations.generations_router,
    generator.router,
    policies.router,
    letters.router,
    outcomes.router,
    decisions.router,
)
