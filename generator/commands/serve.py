"""`copyloop generator serve`: the API, with a screen for what is posted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bandit.commands.processes import ServeOptions, run_api
from generator.commands.options import Gates
from streams.commands.options import words

if TYPE_CHECKING:
    from msgspec import Raw

    from bandit.service.screening import PostedRefusal


def serve(options: ServeOptions, thresholds: Gates = None) -> None:
    """Serve the policy query API as `bandit serve` does, and screen creatives that are posted.

    What a placement with `"posted": "screened"` is sent goes through the gates that generated
    texts go through. No language model is loaded for that.
    """
    from generator.screening.settings import load_thresholds

    limits = load_thresholds(thresholds)

    def screen(
        brief: Raw | None, creatives: Sequence[Mapping[str, str]]
    ) -> list[list[PostedRefusal]]:
        # The gates' word lists and embeddings are loaded when the first creative is posted.
        from generator.screening.posted import refusals

        return refusals(brief, creatives, limits)

    command = ("generator", "serve", *words(gates=thresholds))
    run_api(options, screen=screen, command=command)
