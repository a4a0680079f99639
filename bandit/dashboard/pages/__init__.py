"""The pages: each module has its routes; what is always in reach is named here."""

from __future__ import annotations

from typing import Final

from bandit.dashboard.pages import (
    creative,
    evaluations,
    generator,
    health,
    overview,
    placement,
    review,
    sign_in,
)
from bandit.dashboard.visit import PATH

ROUTES: Final = [
    *overview.ROUTES,
    *placement.ROUTES,
    *creative.ROUTES,
    *review.ROUTES,
    *generator.ROUTES,
    *evaluations.ROUTES,
    *health.ROUTES,
    *sign_in.ROUTES,
]
NAVIGATION: Final = [
    (PATH, "Overview"),
    (review.HERE, "Review"),
    (generator.HERE, "Generator"),
    (evaluations.HERE, "Evaluations"),
    (health.HERE, "Health"),
]
