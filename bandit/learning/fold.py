"""Learning as a fold: interactions in, policies out, and nothing else.

What a policy has become depends on the records alone, so a learner that crashed and resumed, an
audit and a replay all arrive at the same bytes. There is no clock and no IO in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from bandit.eligibility import count_shown
from bandit.errors import FeatureError, LearnError
from bandit.learning.trials import Plan, Trials, plan_of
from bandit.policies import load_policy, open_policy
from bandit.policy import Correctable, Policy, policy_version
from streams.catalogue.state import Catalogue
from streams.errors import CheckpointError, EventError
from streams.events import Interaction, PolicySnapshot, PolicySpec, decode, each_interaction
from streams.events.placement import Shown
from streams.logs.base import Record

STATE_VERSION: Final = 2
FIRST_IMPORT_SOURCE: Final = 2**31
"""Interactions of this source and above were imported: another system made their decisions. No
partition that is joined has so high a number."""


class PlacementFold:
    """One placement's policy, with the interactions that made it.

    `offset` is that of the last interaction taken in, plus one; `timestamp_ms` is that
    interaction's time. `shown` counts the decisions by the creative that was chosen. `trials`
    are None where nobody is on trial.
    """

    def __init__(
        self, spec: PolicySpec, policy: Policy | None = None, *, plan: Plan | None = None
    ) -> None:
        self.spec = spec
        self.trials = None if plan is None else Trials(plan)
        self.policy = open_policy(spec) if policy is None else policy
        self.offset = 0
        self.timestamp_ms = 0
        self.sequences: dict[int, int] = {}
        self.shown: dict[str, Shown] = {}
        self._correct = self.policy.correct if isinstance(self.policy, Correctable) else None

    @property
    def plan(self) -> tuple[PolicySpec, Plan | None]:
        """What is folded: the policy's spec, and who is on trial beside it."""
        return self.spec, None if self.trials is None else self.trials.plan

    def take(self, interaction: Interaction, offset: int) -> bool:
        """Learns from the interaction at `offset`; returns whether policy or trials changed.

        A policy that can be corrected learns a decision's first reward and has it replaced by
        every later one. Another learns a decision once, when it is closed. A duplicate changes
        nothing, and nor does a fallback, but for how often its creative was shown.

        Raises:
            FeatureError: the policy cannot read the decision's features.
            LearnError: a correction for a policy that cannot be corrected.
        """
        if interaction.sequence <= self.sequences.get(interaction.source, -1):
            return False
        self.sequences[interaction.source] = interaction.sequence
        self.offset = offset + 1
        self.timestamp_ms = interaction.timestamp_ms
        previous = interaction.previous_reward
        if previous is None:
            count_shown(self.shown, interaction.decision)
        if interaction.decision.fallback:
            return False
        tried = self.trials is not None and self.trials.take(interaction)
        return self._learn(interaction) or tried

    def take_all(self, interactions: Iterable[Interaction], offset: int) -> bool:
        """Takes each of a record's interactions; returns whether any changed something.

        Raises:
            FeatureError, LearnError: as `take`, of the first one; all others are learned.
        """
        changed = False
        trouble: FeatureError | LearnError | None = None
        for interaction in interactions:
            try:
                changed = self.take(interaction, offset) or changed
            except (FeatureError, LearnError) as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble
        return changed

    def _learn(self, interaction: Interaction) -> bool:
        previous = interaction.previous_reward
        if self._correct is None:
            if interaction.status == "corrected":
                raise LearnError(
                    "not_correctable",
                    f"interaction {interaction.id} corrects {previous} to "
                    f"{interaction.reward}, which policy {self.spec.get('name')!r} cannot take in; "
                    "give the placement a policy that can, or no window longer than its own",
                )
            if interaction.status == "closed":
                self.policy.learn(interaction.decision, interaction.reward)
            return interaction.status == "closed"
        if previous is None:
            self.policy.learn(interaction.decision, interaction.reward)
        elif interaction.reward != previous:
            self._correct(interaction.decision, previous, interaction.reward)
        return interaction.reward != previous

    def snapshot(self, placement: str, partition: int, *, counted: bool = False) -> PolicySnapshot:
        """Returns the policy as it is published, if `counted` with how often each was shown."""
        state = self.policy.to_bytes()
        return PolicySnapshot(
            placement=placement,
            version=policy_version(state, self.offset),
            spec=self.spec,
            partition=partition,
            offset=self.offset,
            state=state,
            timestamp_ms=self.timestamp_ms,
            shown=self.shown if counted else UNSET,
            trials=UNSET if self.trials is None else self.trials.results(),
        )


class PartitionFold:
    """The policies of every placement whose interactions lie in one partition."""

    def __init__(self) -> None:
        self.placements: dict[str, PlacementFold] = {}

    def take(self, record: Record, catalogue: Catalogue) -> str | None:
        """Takes in one record; returns the placement whose policy changed, if one did.

        Raises:
            EventError: the record cannot be read.
            LearnError: it is no interaction, its placement is unknown, or it corrects a policy
                that cannot be corrected.
            FeatureError: the policy cannot read the decision's features.
            PolicySpecError: the placement's policy cannot be made.
        """
        interactions = interactions_of(record)
        name = interactions[0].decision.placement
        fold = self.placements.get(name)
        if fold is None:
            spec, plan = current_plan(name, catalogue)
            fold = self.placements[name] = PlacementFold(spec, plan=plan)
        return name if fold.take_all(interactions, record.offset) else None

    def to_bytes(self) -> bytes:
        """Returns the whole state: equal for equal histories, byte for byte."""
        placements = {name: _saved(fold) for name, fold in self.placements.items()}
        return msgspec.msgpack.encode(_PartitionState(STATE_VERSION, placements), order="sorted")

    @classmethod
    def from_bytes(cls, data: bytes) -> PartitionFold:
        """Returns the fold that `to_bytes` wrote.

        Raises:
            CheckpointError: the bytes are not such a state, or one of another version.
            PolicyStateError: a policy in it cannot be loaded.
        """
        try:
            state = msgspec.msgpack.decode(data, type=_PartitionState)
        except msgspec.DecodeError as error:
            raise CheckpointError(f"not the state of a learner: {error}") from error
        if state.version != STATE_VERSION:
            raise CheckpointError(
                f"a learner's state of version {state.version}, expected {STATE_VERSION}; "
                "delete the checkpoint to fold the log anew"
            )
        fold = cls()
        fold.placements = {name: _restored(saved) for name, saved in state.placements.items()}
        return fold


class Refold:
    """A placement that is folded anew with another policy, from its partition's start.

    What the new policy cannot learn is counted; it went to the dead letters, if at all, when it
    was first taken in.
    """

    def __init__(
        self, placement: str, spec: PolicySpec, position: int, plan: Plan | None = None
    ) -> None:
        self.fold = PlacementFold(spec, plan=plan)
        self.position = position
        self.refused = 0
        self._placement = placement
        self._key = placement.encode()

    def take(self, records: Sequence[Record]) -> None:
        """Takes in the next records of the partition, whosever they are."""
        for record in records:
            self.position = record.offset + 1
            if record.key != self._key:
                continue
            try:
                interactions = interactions_of(record)
                if interactions[0].decision.placement == self._placement:
                    self.fold.take_all(interactions, record.offset)
            except (EventError, FeatureError, LearnError):
                self.refused += 1


def interactions_of(record: Record) -> tuple[Interaction, ...]:
    """Returns the interactions that the record holds: one, or those of a slate.

    Raises:
        EventError: the record cannot be read.
        LearnError: it holds another event.
    """
    event = decode(record.value)
    found = each_interaction(event)
    if not found:
        raise LearnError("not_an_interaction", f"a {type(event).__name__} among the interactions")
    return found


def current_plan(placement: str, catalogue: Catalogue) -> tuple[PolicySpec, Plan | None]:
    """Returns the policy that the placement has now, and who is on trial; or had last."""
    history = catalogue.dated_history(placement)
    if not history:
        raise LearnError("placement_unknown", f"no placement {placement!r} in the catalogue")
    return history[-1][1].policy, plan_of(history)


class _PlacementState(Struct, frozen=True, array_like=True):
    spec: PolicySpec
    offset: int
    timestamp_ms: int
    sequences: list[tuple[int, int]]
    policy: bytes
    shown: dict[str, Shown]
    trials: bytes | None = None


class _PartitionState(Struct, frozen=True, array_like=True):
    version: int
    placements: dict[str, _PlacementState]


def _saved(fold: PlacementFold) -> _PlacementState:
    sequences = sorted(fold.sequences.items())
    return _PlacementState(
        fold.spec,
        fold.offset,
        fold.timestamp_ms,
        sequences,
        fold.policy.to_bytes(),
        fold.shown,
        None if fold.trials is None else fold.trials.to_bytes(),
    )


def _restored(saved: _PlacementState) -> PlacementFold:
    fold = PlacementFold(saved.spec, load_policy(saved.policy))
    fold.offset = saved.offset
    fold.timestamp_ms = saved.timestamp_ms
    fold.sequences = dict(saved.sequences)
    fold.shown = saved.shown
    fold.trials = None if saved.trials is None else Trials.from_bytes(saved.trials)
    return fold
