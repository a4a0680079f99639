"""The shortlists of decisions, drawn again from the catalogue as it was."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from bandit.eligibility import WeightedSampler, digest, seed_of
from bandit.policy import Policy
from bandit.verification.report import TOLERANCE
from streams.catalogue.state import PARTITION, CatalogueReader
from streams.events import EMPTY, Action, Decision
from streams.events.placement import Shortlisted
from streams.fold import scan
from streams.logs.base import Log

KEPT: Final = 256
"""How many weights are kept for the versions after theirs."""


class _Live(NamedTuple):
    actions: tuple[Action, ...]
    digest: str


class Shortlists:
    """Derives shortlists again from one log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._reader = CatalogueReader(log)
        self._live: dict[str, tuple[int, _Live]] = {}
        self._samplers: dict[tuple[str, str, str, float], WeightedSampler] = {}

    def differs(self, policy: Policy, decision: Decision) -> str | None:
        """Returns how the decision's actions are not those that are drawn, empty if they are.

        None if that cannot be told: some creatives were capped, the catalogue does not have any
        more what it said then, or the version that weighed them, if not the decision's own, made
        no decision by its own weights. `policy` is of the version that the decision names, and
        versions come in the order in which they were folded.
        """
        note = decision.shortlist
        if not note:
            return ""
        live = self._live_at(decision.placement, note.catalogue)
        if live.digest != note.among or len(live.actions) != note.of:
            return None
        sampler = self._sampler_of(policy, decision, live, note)
        if sampler is None:
            return None
        drawn = sampler.draw(seed_of(decision.event_id, note.weights), note.size)
        let = [live.actions[index].id for index in drawn.indices.tolist()]
        # A slot has what those before it left, and what it does not exclude.
        if beyond := {action.id for action in decision.actions}.difference(let):
            return f"{len(beyond)} of its actions were not let in, such as {min(beyond)!r}"
        chosen = drawn.indices[let.index(decision.action.id)]
        inclusion = sampler.inclusion(int(chosen), drawn.until)
        if math.isclose(note.inclusion, inclusion, rel_tol=TOLERANCE):
            return ""
        return f"inclusion {note.inclusion} is logged, {inclusion} is derived"

    def _live_at(self, placement: str, offset: int) -> _Live:
        """Returns who was live as the catalogue said before the offset."""
        if offset < self._reader.offset:
            self._reader = CatalogueReader(self._log)
            self._live.clear()
        for record in scan(self._log, PARTITION, self._reader.offset, end=offset):
            self._reader.take(record)
        catalogue = self._reader.catalogue
        version = catalogue.version_of(placement)
        known = self._live.get(placement)
        if known is None or known[0] != version:
            actions = tuple(Action(each.id, each.features) for each in catalogue.live(placement))
            known = self._live[placement] = version, _Live(actions, digest(actions))
        return known[1]

    def _sampler_of(
        self, policy: Policy, decision: Decision, live: _Live, note: Shortlisted
    ) -> WeightedSampler | None:
        key = decision.placement, note.weights, live.digest, note.floor
        found = self._samplers.pop(key, None)
        if found is None:
            if note.weights != decision.policy_version:
                return None
            found = WeightedSampler(policy.pmf(EMPTY, live.actions), note.floor)
            if len(self._samplers) >= KEPT:
                del self._samplers[next(iter(self._samplers))]
        # The last one used is the last to go.
        self._samplers[key] = found
        return found
