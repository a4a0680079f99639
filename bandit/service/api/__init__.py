"""The admin routes, by resource: what people and their tools read and change."""

from __future__ import annotations

from typing import Final

from bandit.service.api import (
    creatives,
    decisions,
    generator,
    placements,
    policies,
)
from bandit.service.api import (
    creatives as review,
)
from bandit.service.api import (
    dead_letters as letters,
)
from bandit.service.api import (
    decisions as outcomes,
)
from bandit.service.api import (
    generator as generations,
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
