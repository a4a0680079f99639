"""The pages: each module has its routes; what is always in reach is named here."""

from __future__ import annotations

from typing import Final

from bandit.dashboard.pages import overview, placement, sign_in
from bandit.dashboard.visit import PATH

ROUTES: Final = [*overview.ROUTES, *placement.ROUTES, *sign_in.ROUTES]
NAVIGATION: Final = [(PATH, "Overview")]
