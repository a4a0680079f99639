"""The admin routes, by resource: what people and their tools read and change."""

from __future__ import annotations

from typing import Final

from bandit.service.api import (
    access,
    creatives,
    dead_letters,
    decisions,
    generator,
    placements,
    policies,
)

ROUTERS: Final = (
    placements.router,
    creatives.router,
    generator.generations_router,
    generator.router,
    policies.router,
    dead_letters.router,
    decisions.router,
    access.router,
)
