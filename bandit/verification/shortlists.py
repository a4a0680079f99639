"""Proof that a decision's actions are those that its draw let in.

The catalogue up to the offset that the decision names gives back who was live, the policy gives
back the weights, and event id and policy version give back the draw.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from bandit.eligibility import Lots, digest, seed_of
from bandit.policy import Policy
from streams.catalogue.state import PARTITION, CatalogueReader
from streams.events import EMPTY, Action, Decision
from streams.events.placement import Shortlisted
from streams.fold import scan
from streams.logs.base import Log

TOLERANCE: Final = 1e-9
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
        self._lots: dict[tuple[str, str, str, float], Lots] = {}

    def differs(self, policy: Policy, decision: Decision) -> str | None:
        """Returns how the decision's actions are not those that are drawn, empty if they are.

        None if that cannot be told: some creatives were capped, the catalogue does not have any
        more what it said then, or the version that weighed them, if not the decision's own, made
        no decision by its own weights. `policy` is of the version that the decision names, and
        versions come in the order in which they were folded.

        Raises:
            FeatureError: the policy cannot read a creative's features.
        """
        note = decision.shortlist
        if not note:
            return ""
        live = self._live_at(decision.placement, note.catalogue)
        if live.digest != note.among or len(live.actions) != note.of:
            return None
        lots = self._lots_of(policy, decision, live, note)
        if lots is None:
            return None
        entry = lots.draw(seed_of(decision.event_id, note.weights), note.size)
        let = [live.actions[index].id for index in entry.indices.tolist()]
        # A slot has what those before it left, and what it does not exclude.
        if beyond := {action.id for action in decision.actions}.difference(let):
            return f"{len(beyond)} of its actions were not let in, such as {min(beyond)!r}"
        chosen = entry.indices[let.index(decision.action.id)]
        inclusion = lots.inclusion(int(chosen), entry.until)
        return _compared(note, inclusion)

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

    def _lots_of(
        self, policy: Policy, decision: Decision, live: _Live, note: Shortlisted
    ) -> Lots | None:
        key = decision.placement, note.weights, live.digest, note.floor
        found = self._lots.pop(key, None)
        if found is None:
            if note.weights != decision.policy_version:
                return None
            found = Lots(policy.pmf(EMPTY, live.actions), note.floor)
            if len(self._lots) >= KEPT:
                del self._lots[next(iter(self._lots))]
        # The last one used is the last to go.
        self._lots[key] = found
        return found


def _compared(note: Shortlisted, inclusion: float) -> str:
    if math.isclose(note.inclusion, inclusion, rel_tol=TOLERANCE):
        return ""
    return f"inclusion {note.inclusion} is logged, {inclusion} is derived"
