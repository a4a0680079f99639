"""What an API replica serves: each placement's latest policy and its live creatives.

It follows the policies and the catalogue in a thread of its own and hands both over as one
mapping that is replaced whole, so that no request ever sees half of a change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from bandit.eligibility import Eligibility, canary_traffic_cap, constraints_of
from bandit.errors import PolicyError, PolicyStateError
from bandit.policies import load_policy, open_policy
from bandit.policy import Policy, policy_version, take_over
from bandit.service.choosing.candidates import CandidateSet
from bandit.service.choosing.slots import ShortlistSampler
from streams.catalogue.state import CatalogueReader
from streams.errors import EventError
from streams.events import CATALOGUE, POLICIES, Action, Creative, Placement, PolicySnapshot, decode
from streams.events.placement import Shown, TrialResult
from streams.fold import Follower, Viewer, batches, partitions
from streams.logs.base import Consumer, Log, Record, TopicPartition

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2
"""How long a poll waits for the first record, and so how soon `stop` is seen."""
BATCH: Final = 64
"""Snapshots of megabytes are read this many at a time."""


class ServingPlacement(NamedTuple):
    """What one placement is served with, all of one moment.

    `actions` are the live creatives as the policy sees them; the tuple stays the same object
    until one of them changes, and `offer` has them as bytes. `snapshot_ms` is when the log took
    the policy in, 0 for one that has learned nothing yet. `constraints` are None where nothing
    has caps; `trials` tell how the placement's challengers did until then. `draws` make
    shortlists, None where there are no more creatives than one has.
    """

    placement: Placement
    policy: Policy
    version: str
    actions: tuple[Action, ...]
    creatives: dict[str, Creative]
    offer: CandidateSet
    snapshot_ms: int
    constraints: Eligibility | None = None
    trials: Mapping[str, TrialResult] = MappingProxyType({})
    draws: ShortlistSampler | None = None


class _Loaded(NamedTuple):
    policy: Policy
    version: str
    snapshot_ms: int
    shown: Mapping[str, Shown]
    trials: Mapping[str, TrialResult] = MappingProxyType({})


class Snapshots:
    """The placements as they are served now, kept up to date with a log.

    A placement is served with its latest snapshot that proves sound, or, before the first one,
    with a fresh policy of its spec. After a change of spec the old policy goes on until the
    learner publishes one of the new spec. `on_change` is called from the following thread after
    every swap.
    """

    def __init__(self, log: Log, *, on_change: Callable[[], None] | None = None) -> None:
        self._log = log
        self._on_change = on_change
        self._reader = CatalogueReader(log)
        self.catalogue = self._reader.catalogue
        """The catalogue as followed, to be read only."""
        self.changes = self._reader.changes
        """Which changes of it counted, to be read only."""
        self.refused = 0
        """How many snapshots were damaged or unreadable, and so not served."""
        self.catalogue_offset = 0
        """The offset up to which the catalogue is served: a write below it shows."""
        self._positions: dict[TopicPartition, int] = {}
        self._latest: dict[str, _Loaded] = {}
        self._fresh: dict[str, tuple[Placement, _Loaded]] = {}
        self._serving: Mapping[str, ServingPlacement] = {}
        self._prepared: dict[str, int] = {}
        self._consumer: Consumer | None = None
        self._follower = Follower("snapshots", self._look, reset=self._close)
        self.stop = self._follower.stop

    @property
    def following(self) -> bool:
        """Whether the thread that keeps this up to date is alive."""
        return self._follower.following

    def placement(self, name: str) -> ServingPlacement | None:
        """Returns what the placement is served with, None if it is unknown or was deleted."""
        return self._serving.get(name)

    def start(self) -> None:
        """Reads both topics to their end, then follows them until `stop`.

        Raises:
            TopicError: the log lacks the topics.
        """
        for topic in (CATALOGUE, POLICIES):
            for partition in partitions(self._log, topic):
                self._positions[partition] = start = self._log.start_offset(partition)
                for records in batches(self._log, partition, start, limit=BATCH):
                    self._advance(records)
        self._serve_catalogue()
        self._follower.start()

    def _look(self) -> None:
        if self._consumer is None:
            self._consumer = self._log.consumer([CATALOGUE, POLICIES], Viewer(self._positions))
        if records := self._consumer.poll(POLL_SECONDS, limit=BATCH):
            self._take(records)

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _take(self, records: Iterable[Record]) -> None:
        version = self.catalogue.version
        changed = self._advance(records)
        if self.catalogue.version == version:
            # what came may have been no change, and who wrote it waits to hear so
            self.catalogue_offset = self._reader.offset
            if not changed:
                return
        if self.catalogue.version != version:
            self._serve_catalogue()
        self._serve_policies(changed)
        if self._on_change is not None:
            self._on_change()

    def _advance(self, records: Iterable[Record]) -> set[str]:
        """Takes the records in; returns the placements that have a new policy."""
        snapshots: dict[str, tuple[PolicySnapshot, Record]] = {}
        for record in records:
            if record.topic == CATALOGUE:
                self._reader.take(record)
            elif snapshot := self._verified(record):
                snapshots[snapshot.placement] = snapshot, record
            self._positions[TopicPartition(record.topic, record.partition)] = record.offset + 1
        return {name for name, found in snapshots.items() if self._load(*found)}

    def _verified(self, record: Record) -> PolicySnapshot | None:
        try:
            snapshot = decode(record.value)
            if not isinstance(snapshot, PolicySnapshot):
                raise PolicyStateError(f"a {type(snapshot).__name__} where a snapshot belongs")
            version = policy_version(snapshot.state, snapshot.offset)
            if version != snapshot.version:
                raise PolicyStateError(
                    f"snapshot {snapshot.version} of placement {snapshot.placement!r} holds the "
                    f"bytes of {version}: it was damaged; the learner's next one replaces it"
                )
        except (EventError, PolicyStateError) as error:
            self._refuse(record, error)
            return None
        return snapshot

    def _load(self, snapshot: PolicySnapshot, record: Record) -> bool:
        try:
            policy = load_policy(snapshot.state)
        except PolicyError as error:
            self._refuse(record, error)
            return False
        if before := self._latest.get(snapshot.placement):
            take_over(policy, before.policy)
        self._latest[snapshot.placement] = _Loaded(
            policy,
            snapshot.version,
            record.timestamp_ms,
            snapshot.shown or {},
            snapshot.trials or {},
        )
        return True

    def _refuse(self, record: Record, error: Exception) -> None:
        self.refused += 1
        logger.error(
            "%s/%d@%d: snapshot refused, the policy before it stays: %s",
            record.topic,
            record.partition,
            record.offset,
            error,
        )

    def _serve_policies(self, changed: set[str]) -> None:
        """Swaps in the new policies; the actions stay as they are."""
        serving = dict(self._serving)
        for name in changed & serving.keys():
            policy, version, snapshot_ms, shown, trials = self._latest[name]
            constraints = serving[name].constraints
            serving[name] = serving[name]._replace(
                policy=policy,
                version=version,
                snapshot_ms=snapshot_ms,
                constraints=constraints and constraints.after(shown),
                trials=trials,
            )
        self._serving = serving

    def _serve_catalogue(self) -> None:
        served = (self._prepare(placement) for placement in self.catalogue.placements())
        self._serving = {found.placement.name: found for found in served if found is not None}
        self.catalogue_offset = self._reader.offset

    def _prepare(self, placement: Placement) -> ServingPlacement | None:
        """Returns what the placement is served with: as before, unless the catalogue changed it."""
        before = self._serving.get(placement.name)
        version = self.catalogue.version_of(placement.name)
        if self._prepared.get(placement.name) == version:
            return before
        loaded = self._latest.get(placement.name) or self._open(placement)
        if loaded is None:
            return before
        self._prepared[placement.name] = version
        live = self.catalogue.live(placement.name)
        actions = tuple(Action(creative.id, creative.features) for creative in live)
        if before is not None and before.actions == actions:
            actions = before.actions
        creatives = {creative.id: creative for creative in live}
        rule, draws = placement.shortlist, None
        if rule and len(actions) > rule.size:
            draws = ShortlistSampler(rule, actions, self._reader.offset)
        return ServingPlacement(
            placement,
            loaded.policy,
            loaded.version,
            actions,
            creatives,
            CandidateSet(
                placement.name, actions, creatives, canary_traffic_cap(self.catalogue, live)
            ),
            loaded.snapshot_ms,
            constraints_of(placement, creatives, loaded.shown),
            loaded.trials,
            draws,
        )

    def _open(self, placement: Placement) -> _Loaded | None:
        """Returns a fresh policy of the placement's spec, None if the spec makes none."""
        known = self._fresh.get(placement.name)
        if known is not None and known[0].policy == placement.policy:
            return known[1]
        try:
            policy = open_policy(placement.policy)
        except PolicyError as error:
            logger.error("placement %r has no policy to serve: %s", placement.name, error)
            return None
        loaded = _Loaded(policy, policy_version(policy.to_bytes(), 0), 0, {})
        self._fresh[placement.name] = placement, loaded
        return loaded
