"""Proof that the log tells the truth: every decision derived again and compared.

The interactions give back each policy that was ever served, the policy and the logged context
give back the pmf, and the pmf and the event id give back the draw.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

import numpy as np

from bandit.eligibility import under_traffic_cap
from bandit.errors import FeatureError, LearnError, PolicyError
from bandit.learning.fold import FIRST_IMPORT_SOURCE, PlacementFold, interactions_of
from bandit.policies import load_policy
from bandit.policies.vw.binding import binding_name
from bandit.policy import Pmf, Policy, policy_version, sample, sample_seed
from bandit.verification.report import TOLERANCE, AuditReport, Mismatch, Reason
from bandit.verification.shortlists import Shortlists
from streams.catalogue.state import CatalogueReader
from streams.errors import EventError
from streams.events import (
    DECISIONS,
    INTERACTIONS,
    Decision,
    Interaction,
    Placement,
    PolicySpec,
    decode,
    each_decision,
)
from streams.fold import Progress, history
from streams.forgetting.values import is_forgotten
from streams.logs.base import Log, Record, TopicPartition

BATCH: Final = 1000


def audit(log: Log, *, progress: Progress | None = None) -> AuditReport:
    """Derives every decision in the log again, and reports those that disagree.

    1. Reads the decisions once: draws each again from its own pmf and event id.
    2. Folds the interactions once, with every policy that their placement ever had, and so finds
       each policy version that a decision names, by its hash at its offset.
    3. Asks each version found for the pmf of its decisions, and compares to `TOLERANCE`; draws
       their shortlists again, where they have any.

    Else it takes as logged which actions there were to choose from: that a creative was rightly
    left out, since it was paused or capped, it does not prove.
    """
    reader = CatalogueReader(log)
    reader.catch_up()
    claims = _Claims(log)
    claims.collect(progress)
    placements = {
        name: _PlacementClaims(claims, name, reader.catalogue.placement_history(name))
        for name in claims.placements()
    }
    imported = 0
    for record in chain.from_iterable(history(log, INTERACTIONS, progress)):
        with suppress(EventError, LearnError):
            interactions = interactions_of(record)
            imported += (interactions[0].source >= FIRST_IMPORT_SOURCE) * len(interactions)
            if found := placements.get(interactions[0].decision.placement):
                found.take(interactions, record)
    verified = sum(each.finish() for each in placements.values())
    return AuditReport(
        decisions=claims.decisions,
        versions=sum(len(claims.versions(name)) for name in placements),
        versions_verified=verified,
        tolerance=TOLERANCE,
        mismatches=tuple(sorted(claims.mismatches, key=lambda m: (m.partition, m.offset))),
        forgotten=claims.forgotten,
        unprovable=claims.unprovable,
        undrawn=claims.undrawn,
        imported=imported,
    )


class _Claims:
    """Which version each decision says that it came from; only offsets are kept of them."""

    def __init__(self, log: Log) -> None:
        self.decisions = 0
        self.forgotten = 0
        self.unprovable = 0
        self.undrawn = 0
        self.shortlists = Shortlists(log)
        self.mismatches: list[Mismatch] = []
        self._log = log
        self._offsets: defaultdict[str, defaultdict[str, dict[int, array[int]]]] = defaultdict(
            lambda: defaultdict(dict)
        )

    def placements(self) -> list[str]:
        return sorted(self._offsets)

    def versions(self, placement: str) -> set[str]:
        return set(self._offsets[placement])

    def collect(self, progress: Progress | None) -> None:
        """Reads all decisions, and checks that each was drawn from its own pmf."""
        for record in chain.from_iterable(history(self._log, DECISIONS, progress)):
            try:
                decisions = each_decision(decode(record.value))
            except EventError as error:
                self.refuse("decision_unreadable", None, record, str(error))
                continue
            for decision in decisions:
                self._check_draw(decision, record)
            self.decisions += len(decisions)
            if is_forgotten(record):
                self.forgotten += len(decisions)
            elif decisions:
                offsets = self._offsets[decisions[0].placement][decisions[0].policy_version]
                offsets.setdefault(record.partition, array("q")).append(record.offset)

    def _check_draw(self, decision: Decision, record: Record) -> None:
        # The draw is of the pmf alone; what was taken out does not touch it.
        drawn = sample(decision.pmf, sample_seed(decision.event_id, decision.slot))
        if drawn != decision.index:
            detail = f"index {decision.index} is logged, {drawn} is drawn"
            self.refuse("sample_differs", decision, record, detail)

    def made_by(self, placement: str, version: str) -> Iterator[tuple[Decision, Record]]:
        """Yields the decisions of the placement that name the version."""
        for partition, offsets in self._offsets[placement][version].items():
            for run in _runs(offsets):
                wanted = set(run)
                start = TopicPartition(DECISIONS, partition), run[0]
                for record in self._log.read(*start, limit=run[-1] - run[0] + 1):
                    event = decode(record.value) if record.offset in wanted else None
                    for decision in each_decision(event):
                        yield decision, record

    def refuse(
        self, reason: Reason, decision: Decision | None, record: Record, detail: str
    ) -> None:
        """Notes a mismatch; of a record that holds no decision, its key is the event id."""
        self.mismatches.append(
            Mismatch(
                reason=reason,
                event_id=decision.event_id if decision else record.key.decode(errors="replace"),
                slot=decision.slot if decision else 0,
                placement=decision.placement if decision else "",
                policy_version=decision.policy_version if decision else "",
                partition=record.partition,
                offset=record.offset,
                detail=detail,
            )
        )


class _PlacementClaims:
    """One placement's claims, held against what its interactions lead to."""

    def __init__(self, claims: _Claims, name: str, history: Sequence[Placement]) -> None:
        self._claims = claims
        self._name = name
        self._open = claims.versions(name)
        self._verified = 0
        self._forgotten_at: int | None = None
        # Where in the interactions a version was taken, the next one last.
        offsets = {offset for version in self._open if (offset := _offset_of(version)) is not None}
        self._stops = sorted(offsets, reverse=True)
        self._folds: list[PlacementFold] = []
        for placement in history:
            if all(placement.policy != fold.spec for fold in self._folds):
                # A spec that makes no policy never served one.
                with suppress(PolicyError):
                    self._folds.append(PlacementFold(placement.policy))

    def take(self, interactions: Sequence[Interaction], record: Record) -> None:
        offset = record.offset
        self._stop_before(offset)
        if self._forgotten_at is None and is_forgotten(record):
            self._forgotten_at = offset
        for fold in self._folds:
            with suppress(FeatureError, LearnError):
                fold.take_all(interactions, offset)

    def finish(self) -> int:
        """Settles what is left; returns how many versions were found."""
        if self._stops:
            self._stop_before(self._stops[0])
        for version in sorted(self._open):
            forgotten_at = self._forgotten_at
            unprovable = forgotten_at is not None and (_offset_of(version) or 0) > forgotten_at
            for decision, record in self._claims.made_by(self._name, version):
                if unprovable:
                    self._claims.unprovable += 1
                    continue
                detail = f"no policy of {self._name!r} folded from the log is {version}"
                if any(_learns_with_vw(fold.spec) for fold in self._folds):
                    detail += f"; here {binding_name()} folds, and another makes other versions"
                self._claims.refuse("version_unknown", decision, record, detail)
        return self._verified

    def _stop_before(self, offset: int) -> None:
        """Checks the versions that were taken before the interaction at `offset`."""
        if not self._stops or self._stops[-1] > offset:
            return
        while self._stops and self._stops[-1] <= offset:
            self._stops.pop()
        for fold in self._folds:
            state = fold.policy.to_bytes()
            version = policy_version(state, fold.offset)
            if version in self._open:
                self._open.remove(version)
                self._verified += 1
                self._check_pmfs(version, load_policy(state))

    def _check_pmfs(self, version: str, policy: Policy) -> None:
        for decision, record in self._claims.made_by(self._name, version):
            try:
                apart = self._claims.shortlists.differs(policy, decision)
                if apart is None:
                    self._claims.undrawn += 1
                elif apart:
                    self._claims.refuse("shortlist_differs", decision, record, apart)
                derived = _derived(policy, decision)
            except FeatureError as error:
                self._claims.refuse("features_invalid", decision, record, str(error))
                continue
            difference = float(np.max(np.abs(derived - np.asarray(decision.pmf))))
            if difference > TOLERANCE:
                detail = f"logged and derived probabilities are up to {difference:.3g} apart"
                self._claims.refuse("pmf_differs", decision, record, detail)


def _learns_with_vw(spec: PolicySpec) -> bool:
    """Returns whether a policy, or one that it wraps, is Vowpal Wabbit's."""
    inner = spec.get("policy")
    return spec.get("name") == "vw" or (isinstance(inner, dict) and _learns_with_vw(inner))


def _derived(policy: Policy, decision: Decision) -> Pmf:
    """Returns the pmf that the decision should have: certainty of the first if it is a fallback."""
    if decision.fallback:
        return np.array([1.0] + [0.0] * (len(decision.actions) - 1))
    pmf = policy.pmf(decision.context, decision.actions)
    return under_traffic_cap(pmf, decision.actions, decision.lid or None)


def _runs(offsets: Iterable[int]) -> Iterator[list[int]]:
    """Yields the offsets in runs that are worth one read each: close together, and not long."""
    run: list[int] = []
    for offset in offsets:
        if run and (offset - run[-1] > 16 or offset - run[0] >= BATCH):
            yield run
            run = []
        run.append(offset)
    if run:
        yield run


def _offset_of(version: str) -> int | None:
    """Returns the offset that a policy version names, None if it is not of that form."""
    offset = version.rpartition("@")[2]
    return int(offset) if offset.isdecimal() else None
