"""The pages: each module has its routes; what is always in reach is named here."""

from __future__ import annotations

from typing import Final

from bandit.dashboard.pages import evaluations, generator, health, placements, sign_in
from bandit.dashboard.visit import PATH

ROUTES: Final = [
    *placements.ROUTES,
    *generator.ROUTES,
    *evaluations.ROUTES,
    *health.ROUTES,
    *sign_in.ROUTES,
]
NAVIGATION: Final = [
    (PATH, "Overview"),
    (generator.REVIEW, "Review"),
    (generator.HERE, "Generator"),
    (evaluations.HERE, "Evaluations"),
    (health.HERE, "Health"),
]
