"""The canary: what a version's creatives earn beside the champion's, and what follows from it.

Each side is judged as if the policy chose among its creatives alone. The champion's count from the
trial's start, since traffic selected the earlier ones. The verdict goes by the interval of the
difference, which is far narrower than the two apart and holds at all times at once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from bandit.errors import GeneratorVersionError
from bandit.lifecycle import promoted, rejected
from bandit.ope.betting import Bets, ValueBets
from bandit.ope.units import FirstDecisions
from generator.versions.registry import VersionRegistry
from streams.catalogue.state import Catalogue
from streams.checkpoint import Checkpoints
from streams.counting import count_of
from streams.errors import ChangeRefused, EventError
from streams.events import INTERACTIONS, Creative, Decision, Interaction, decode, each_interaction
from streams.events.creatives import TRIAL_DECISIONS, Canary, GeneratorVersion
from streams.events.fields import value_at
from streams.fold import scan_topic
from streams.logs.base import Log

CHECKPOINT: Final = "canary"
ALPHA: Final = 0.025
"""Of each bound."""
LEAST_MASS: Final = 0.05
"""Of a side whose loss counts in full in the difference; bets can be as bold as this is large."""
SAVE_EVERY: Final = 20_000
"""Interactions between checkpoints."""
TOLD_AFTER: Final = 1.5
"""How many times as many decisions must have come before the log is told of the intervals again."""

OURS, FRESH, EARLIER, NOBODYS = "canary", "champion", "champion before", ""
"""Whose a creative is: the canary's, the champion's since the trial began, or from before."""

logger = logging.getLogger(__name__)


class MassDifference(Struct):
    """What one side would earn more than the other: bettors that it is more, and that it is less.

    For v = v_ours - v_theirs a decision has the unbiased estimate w_ours r - w_theirs r, which few
    rewards move, where w is 1/m for the chosen side, else 0. Bets need a floor, so in place of
    w r, which they are against, is 1 - w (1 - r) where the side's mass m is small: as right, at
    most 1, and moved by every decision. Which of the two it is, is known before the draw.
    """

    ahead: Bets = msgspec.field(default_factory=Bets)
    behind: Bets = msgspec.field(default_factory=Bets)

    def take(self, weights: tuple[float, float], masses: tuple[float, float], share: float) -> None:
        """Takes in a decision: both sides' weights and masses, ours first."""
        ours, theirs = (weight * share for weight in weights)
        our_loss, their_loss = (
            weight * share if mass >= LEAST_MASS else 1.0 - weight * (1.0 - share)
            for weight, mass in zip(weights, masses, strict=True)
        )
        self.ahead.add_one(1.0 / LEAST_MASS + ours - their_loss)
        self.behind.add_one(1.0 / LEAST_MASS + theirs - our_loss)

    def bounds(self) -> tuple[float, float]:
        """Returns from where to where the difference is, at all times at once."""
        low = self.ahead.lower(ALPHA) - 1.0 / LEAST_MASS
        high = 1.0 / LEAST_MASS - self.behind.lower(ALPHA)
        return max(low, -1.0), min(high, 1.0)


class Trial(Struct):
    """A canary beside a champion: how both stand. `champion` None is the bare model.

    For a decision in which the creatives of a side have the mass m, that side takes in 1/m times
    the reward if one of them was chosen, else 0.

    Where the champion has written nothing since the trial began, all its creatives count. Of a
    placement with a unit the first decision of each unit counts, since bets are fair for decisions
    that do not depend on those before.
    """

    canary: str
    champion: str | None
    since_ms: int
    n: int = 0
    told: int = 0
    ours: ValueBets = msgspec.field(default_factory=ValueBets)
    theirs: ValueBets = msgspec.field(default_factory=ValueBets)
    gain: MassDifference = msgspec.field(default_factory=MassDifference)
    first: FirstDecisions | None = None

    def take(
        self, decision: Decision, reward: float, creatives: Mapping[str, Creative],
        lowest: float, highest: float, *, unit: str | None = None,
    ) -> None:  # fmt: skip
        """Takes in a decision in which creatives of both could be chosen; passes over others."""
        sides = [self._side(creatives.get(action.id)) for action in decision.actions]
        other = FRESH if FRESH in sides else EARLIER
        ours, theirs = (
            sum(mass for mass, its in zip(decision.pmf, sides, strict=True) if its == side)
            for side in (OURS, other)
        )
        if ours <= 0.0 or theirs <= 0.0 or not lowest <= reward <= highest:
            return
        if not self._is_first(decision, unit):
            return
        share, chosen = (reward - lowest) / (highest - lowest), sides[decision.index]
        self.n += 1
        our_weight = 1.0 / ours if chosen == OURS else 0.0
        their_weight = 1.0 / theirs if chosen == other else 0.0
        self.ours.add_one(our_weight, share)
        self.theirs.add_one(their_weight, share)
        self.gain.take((our_weight, their_weight), (ours, theirs), share)

    def result(self, share: float) -> Canary:
        """Returns how both stand, as the log keeps it."""
        if not self.n:
            return Canary(since_ms=self.since_ms, share=share)
        low, high = self.ours.bounds(ALPHA)
        champion_low, champion_high = self.theirs.bounds(ALPHA)
        gain_low, gain_high = self.gain.bounds()
        return Canary(
            since_ms=self.since_ms,
            share=share,
            n=self.n,
            low=low,
            high=high,
            champion_low=champion_low,
            champion_high=champion_high,
            gain_low=gain_low,
            gain_high=gain_high,
        )

    def _is_first(self, decision: Decision, path: str | None) -> bool:
        """Returns whether the decision is the first of its unit; True where none is named."""
        if path is None:
            return True
        unit = value_at(msgspec.json.decode(decision.context), path)
        self.first = self.first or FirstDecisions()
        return unit is None or self.first.take(f"{decision.placement}/{unit}")

    def _side(self, creative: Creative | None) -> str:
        """Returns whose creative it is: the canary's, the champion's, or nobody's here."""
        if creative is None:
            return NOBODYS
        if creative.written_by(self.canary):
            return OURS
        if not self._is_theirs(creative):
            return NOBODYS
        return FRESH if creative.timestamp_ms >= self.since_ms else EARLIER

    def _is_theirs(self, creative: Creative) -> bool:
        """Returns whether the champion wrote it; the bare model's has a model and no adapter."""
        if self.champion is not None:
            return creative.written_by(self.champion)
        made = (creative.lineage, *creative.lineage.parts.values())
        return any(part.model for part in made) and not any(part.adapter for part in made)


class CanaryJudge:
    """Follows a log's interactions, and promotes or pulls the canary when they say so.

    Args:
        log: what is followed.
        checkpoints: where the state is kept.
        longest: after how many decisions a canary that cannot be told from the champion is
            pulled: nothing is taught meanwhile, and a version must be better, not as good.

    Raises:
        CheckpointError: the checkpoint is damaged.
    """

    def __init__(
        self, log: Log, checkpoints: Checkpoints, *, longest: int = TRIAL_DECISIONS
    ) -> None:
        self._log = log
        self._longest = longest
        self._checkpoints = checkpoints
        saved = checkpoints.load(CHECKPOINT)
        self._trial = _read(saved.state) if saved else None
        self._offsets = dict(saved.offsets) if saved else {}
        self._unsaved = self._looked = 0

    def judge(self, registry: VersionRegistry) -> bool:
        """Reads what is new, and changes the canary's status if that is decided.

        Args:
            registry: of the same log, caught up.

        Returns:
            Whether anything was written.

        Raises:
            LogUnavailable: the log is out of reach; nothing is lost, call again.
        """
        catalogue = registry.catalogue
        canary, champion = catalogue.canary, catalogue.champion
        if canary is None:
            return False
        champion_id = None if champion is None else champion.id
        trial = self._trial
        if trial is None or (trial.canary, trial.champion) != (canary.id, champion_id):
            # From its start, since a champion that changed meanwhile is another comparison.
            since_ms = canary.canary.since_ms if canary.canary else canary.timestamp_ms
            trial = self._trial = Trial(canary.id, champion_id, since_ms)
            self._offsets = {}
            self._looked = 0
        self._catch_up(trial, catalogue)
        if trial.n == self._looked:
            return False
        self._looked = trial.n
        return self._tell(registry, canary, trial)

    def save(self) -> None:
        """Writes the checkpoint, if there is anything new in it."""
        if self._unsaved and self._trial is not None:
            state = msgspec.msgpack.encode(self._trial, enc_hook=_written)
            self._checkpoints.save(CHECKPOINT, state, self._offsets)
            self._unsaved = 0

    def _catch_up(self, trial: Trial, catalogue: Catalogue) -> None:
        for record in scan_topic(self._log, INTERACTIONS, self._offsets):
            _take(trial, record.value, catalogue)
            self._unsaved += 1
            if self._unsaved >= SAVE_EVERY:
                self.save()

    def _tell(self, registry: VersionRegistry, canary: GeneratorVersion, trial: Trial) -> bool:
        found = trial.result(canary.canary.share if canary.canary else Canary(since_ms=0).share)
        verdict, why = decided(found, longest=self._longest)
        if verdict == "wait" and trial.n < TOLD_AFTER * trial.told:
            return False
        try:
            registry.progress(canary.id, found)
            if verdict == "promote":
                registry.move(promoted, canary.id, why)
            elif verdict == "pull":
                registry.move(rejected, canary.id, why)
        except (
            GeneratorVersionError,
            ChangeRefused,
        ) as error:  # a person came first, and they know why
            logger.warning("canary %s: %s", canary.id, error)
            return False
        trial.told = trial.n
        self._unsaved += 1
        logger.info("canary %s: %s", canary.id, why)
        return True


def decided(found: Canary, *, longest: int = TRIAL_DECISIONS) -> tuple[str, str]:
    """Returns `promote`, `pull` or `wait`, and why with all three intervals.

    >>> decided(Canary(since_ms=0, n=9, low=0.2, high=0.5, champion_low=0.1, champion_high=0.3,
    ...     gain_low=0.1, gain_high=0.3))[0]
    'promote'
    """
    low, high = found.gain_low, found.gain_high
    if low is None or high is None:
        return "wait", "nothing was earned yet"
    why = (
        f"earns {low:+.4g} to {high:+.4g} of the reward range more than the champion "
        f"({found.low:.4g} to {found.high:.4g} beside {found.champion_low:.4g} to "
        f"{found.champion_high:.4g}), in {count_of(found.n, 'decision')}"
    )
    if low > 0.0:
        return "promote", why
    if high < 0.0:
        return "pull", why
    if found.n >= longest:
        return (
            "pull",
            f"no better than the champion as far as {count_of(found.n, 'decision')} told: {why}",
        )
    return "wait", why


def _take(trial: Trial, value: bytes, catalogue: Catalogue) -> None:
    try:
        event = decode(value)
    except EventError:  # the learner, whose topic it is, lays it aside
        return
    for interaction in each_interaction(event):
        if interaction.status == "closed":
            _count(trial, interaction, catalogue)


def _count(trial: Trial, interaction: Interaction, catalogue: Catalogue) -> None:
    decision = interaction.decision
    placement = catalogue.placement(decision.placement)
    if decision.fallback or decision.timestamp_ms < trial.since_ms or placement is None:
        return
    rule = placement.reward
    if rule.minimum < rule.maximum:
        creatives = catalogue.creatives_by_id(decision.placement)
        unit = placement.unit or None
        trial.take(decision, interaction.reward, creatives, rule.minimum, rule.maximum, unit=unit)


def _written(part: Any) -> Any:
    return part.to_bytes() if isinstance(part, FirstDecisions) else part.sums()


def _read_part(kind: Any, kept: Any) -> Any:
    return FirstDecisions(kept) if kind is FirstDecisions else kind.of(*kept)


def _read(state: bytes) -> Trial | None:
    try:
        return msgspec.msgpack.decode(state, type=Trial, dec_hook=_read_part)
    except msgspec.ValidationError:  # of another layout: the log has it all
        return None
