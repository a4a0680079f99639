"""Renews creatives: follows a log's interactions, and writes what the rules ask for.

The state is a fold with a checkpoint, so a restart reads what is new and nothing else. A creative
that somebody changed meanwhile stays as they left it: the change says on what it rests.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from bandit.ope.estimators.snips import SnipsSums
from streams.catalogue.state import Catalogue, CatalogueReader, catalogue_key
from streams.catalogue.writer import CatalogueWriter, Condition
from streams.checkpoint import Checkpoints
from streams.errors import ChangeRefused, EventError
from streams.events import (
    INTERACTIONS,
    Creative,
    Generation,
    Interaction,
    Placement,
    decode,
    each_interaction,
)
from streams.events.placement import Rotation
from streams.fold import scan_topic
from streams.logs.base import Log

SPAN_MS: Final = 6 * 3_600_000
"""What was shown within such a span is added up; a decline is told between spans."""
RECENT_SPANS: Final = 4
RETRY_MS: Final = 3_600_000
"""A generation that brought nothing is not asked for again before this time has passed."""
MAX_WINNERS: Final = 5
COMING: Final = ("proposed", "screened")
"""Creatives that a person may still let live."""


class RotationState(msgspec.Struct):
    """What is known of a placement's creatives: their sums by span, the latest time, the first."""

    spans: dict[str, dict[int, SnipsSums]] = {}
    now_ms: int = 0
    since_ms: int = 0

    def add(self, interaction: Interaction) -> None:
        """Counts an interaction; one that corrects another replaces its reward.

        One whose decision was taken in place of the policy says nothing, and is passed over.
        """
        decision = interaction.decision
        if decision.fallback:
            return
        spans = self.spans.setdefault(decision.action.id, {})
        span = decision.timestamp_ms // SPAN_MS
        spans.setdefault(span, SnipsSums()).add_interaction(interaction)
        self.now_ms = max(self.now_ms, decision.timestamp_ms)
        self.since_ms = self.since_ms or decision.timestamp_ms

    def total(self, creative_id: str) -> SnipsSums:
        """Returns what the creative earned in all."""
        return sum(self.spans.get(creative_id, {}).values(), SnipsSums())

    def split(self, creative_id: str) -> tuple[SnipsSums, SnipsSums]:
        """Returns what it earned before the latest spans, and in them."""
        spans = self.spans.get(creative_id, {})
        from_span = self.now_ms // SPAN_MS - RECENT_SPANS + 1
        past = sum((sums for span, sums in spans.items() if span < from_span), SnipsSums())
        recent = sum((sums for span, sums in spans.items() if span >= from_span), SnipsSums())
        return past, recent


def turn(
    catalogue: Catalogue, placement: Placement, state: RotationState
) -> list[Creative | Generation]:
    """Returns the creatives that had their time, and then a request for new ones, if any.

    The request's id is made from how many there were before, so that a process that died after
    it asked does not ask twice.
    """
    rotation = placement.rotation
    if rotation is UNSET:
        return []
    live = catalogue.live(placement.name)
    retired = _beaten(live, state, rotation) if rotation.retire else []
    gone = {creative.id for creative in retired}
    staying = [creative for creative in live if creative.id not in gone]
    earlier = catalogue.generations(placement.name)
    if _must_wait(earlier, state):
        return [*retired]
    coming = [c for c in catalogue.creatives(placement.name) if c.status in COMING]
    n, why = _wanted(staying, len(coming), earlier, state, rotation)
    request = [_request(placement, rotation, earlier, staying, state, n, why)] if n else []
    return [*retired, *request]


def _must_wait(earlier: Sequence[Generation], state: RotationState) -> bool:
    """Returns whether a request is under way, or brought nothing a moment ago."""
    if any(generation.status == "requested" for generation in earlier):
        return True
    if not earlier or earlier[-1].accepted > 0:
        return False
    return state.now_ms < earlier[-1].timestamp_ms + RETRY_MS


def _beaten(live: Sequence[Creative], state: RotationState, rotation: Rotation) -> list[Creative]:
    """Returns the creatives whose upper bound lies below the best one's lower bound."""
    judged = _judged(live, state, rotation)
    if len(judged) < 2:
        return []
    best, (low, _) = judged[0]
    return [
        replace(
            creative,
            status="retired",
            reason=f"beaten: earns {high:.4g} a showing at most, and {best.id!r} "
            f"{low:.4g} at least",
        )
        for creative, (_, high) in judged
        if high < low
    ]


def _judged(
    live: Sequence[Creative], state: RotationState, rotation: Rotation
) -> list[tuple[Creative, tuple[float, float]]]:
    """Returns the creatives that were shown enough, with their bounds; the best one first."""
    totals = ((creative, state.total(creative.id)) for creative in live)
    shown = [(c, sums.bounds) for c, sums in totals if sums.effective_n >= rotation.showings]
    return sorted(shown, key=lambda each: -each[1][0])


def _wanted(
    live: Sequence[Creative],
    coming: int,
    earlier: Sequence[Generation],
    state: RotationState,
    rotation: Rotation,
) -> tuple[int, str]:
    """Returns how many creatives to ask for, and why; 0 if none."""
    missing = rotation.live - len(live) - coming
    if missing > 0:
        waiting = f", {coming} wait for a person" if coming else ""
        return min(missing, rotation.batch), f"{len(live)} of {rotation.live} are live{waiting}"
    if missing < 0:
        return 0, ""
    # What was asked for before anybody came has no time: it was new when the first did.
    latest_ms = max((generation.timestamp_ms for generation in earlier), default=0)
    latest_ms = max(latest_ms, state.since_ms)
    every = rotation.every_seconds
    if every is not None and state.now_ms - latest_ms >= every * 1000:
        return rotation.batch, f"nothing new came for {every:g} seconds"
    judged = _judged(live, state, rotation)
    if not judged:
        return 0, ""
    if rotation.decline and (declined := _decline(judged[0][0], state, rotation)):
        return rotation.batch, declined
    highest = max(high for _, (_, high) in judged)
    if rotation.bar is not None and len(judged) == len(live) and highest < rotation.bar:
        why = f"none earns more than {highest:.4g}, and the bar is at {rotation.bar:g}"
        return rotation.batch, why
    return 0, ""


def _decline(best: Creative, state: RotationState, rotation: Rotation) -> str:
    past, recent = state.split(best.id)
    shown = min(past.effective_n, recent.effective_n)
    if shown < rotation.showings or recent.bounds[1] >= past.bounds[0]:
        return ""
    return (
        f"the best, {best.id!r}, earned {past.bounds[0]:.4g} at least and now "
        f"{recent.bounds[1]:.4g} at most"
    )


def _request(
    placement: Placement,
    rotation: Rotation,
    earlier: Sequence[Generation],
    live: Sequence[Creative],
    state: RotationState,
    n: int,
    why: str,
) -> Generation:
    name = f"{placement.name}\n{len(earlier)}".encode()
    digest = hashlib.blake2b(name, digest_size=8)
    best = [creative for creative, _ in _judged(live, state, rotation)[:MAX_WINNERS]]
    return Generation(
        id=f"rotation-{digest.hexdigest()}",
        placement=placement.name,
        brief=rotation.brief,
        n=n,
        seed=int.from_bytes(digest.digest()) >> 1,
        status="requested",
        timestamp_ms=state.now_ms,
        winners=tuple(text for creative in best for text in creative.parts.values()),
        reason=why,
    )


CHECKPOINT: Final = "rotation"
SAVE_EVERY: Final = 20_000
"""Interactions between checkpoints."""

logger = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(dict[str, RotationState])


class Rotator:
    """Keeps the rotations of all placements of a log.

    Without checkpoints it reads the log from its start, and leaves nothing behind.

    Raises:
        CheckpointError: the checkpoint is damaged.
    """

    def __init__(self, log: Log, checkpoints: Checkpoints | None = None) -> None:
        self._log = log
        self._checkpoints = checkpoints
        saved = checkpoints.load(CHECKPOINT) if checkpoints else None
        self._states = _decoder.decode(saved.state) if saved else {}
        self._offsets = dict(saved.offsets) if saved else {}
        self._unsaved = 0

    def rotate(self, reader: CatalogueReader) -> int:
        """Reads what is new and writes what the rules ask for; returns how many events.

        Args:
            reader: of the same log's catalogue, caught up; it is again afterwards.

        Raises:
            LogUnavailable: the log is out of reach; nothing is lost, call again.
        """
        rotating = [p for p in reader.catalogue.placements() if p.rotation]
        if not rotating:
            return 0
        self._catch_up()
        written = 0
        writer = CatalogueWriter(self._log, reader=reader)
        for placement in rotating:
            state = self._states.get(placement.name, RotationState())
            events = turn(reader.catalogue, placement, state)
            # As of this turn, and each on its own: one that comes too late stops no other.
            seen = [(event, writer.as_seen(catalogue_key(event))) for event in events]
            written += sum(_written(writer, event, condition) for event, condition in seen)
        return written

    def states(self) -> dict[str, RotationState]:
        """Reads what is new; returns what is known of every placement's creatives.

        Raises:
            LogUnavailable: the log is out of reach; nothing is lost, call again.
        """
        self._catch_up()
        return self._states

    def save(self) -> None:
        """Writes the checkpoint, if there is anything new in it."""
        if self._unsaved and self._checkpoints is not None:
            self._checkpoints.save(CHECKPOINT, _encode(self._states), self._offsets)
            self._unsaved = 0

    def _catch_up(self) -> None:
        for record in scan_topic(self._log, INTERACTIONS, self._offsets):
            self._take(record.value)
            self._unsaved += 1
            if self._unsaved >= SAVE_EVERY:
                self.save()

    def _take(self, value: bytes) -> None:
        try:
            event = decode(value)
        except EventError:  # the learner, whose topic it is, lays it aside
            return
        for each in each_interaction(event):
            self._states.setdefault(each.decision.placement, RotationState()).add(each)


def _written(writer: CatalogueWriter, event: Creative | Generation, condition: Condition) -> bool:
    """Writes what a rule asks for; returns whether it counts."""
    name = catalogue_key(event)
    try:
        # Not an act of anybody's: the rules, and what they look at, are in the log already.
        writer.commit([name], lambda: [event], None, condition)
    except ChangeRefused as error:  # a person came first
        logger.info("%s: %s", name, error)
        return False
    logger.info("%s: %s", name, event.reason)
    return True
