"""Decisions joined with their outcomes: the state machine of one partition.

It has no clock and does no IO. Fed the records of its partition in their one order (`merge`),
it says which interactions and refusals follow, so these are a function of the log alone.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

from msgspec import Raw

from streams.catalogue.state import Catalogue
from streams.events import (
    ACTIVATION,
    DECISIONS,
    OUTCOMES,
    SLOT_ACTIVATION,
    UNREWARDED,
    Decision,
    Outcome,
    Placement,
    Slate,
    Status,
)
from streams.join.state import (
    CLOSED,
    DUPLICATE,
    NOT_ACTIVATED,
    OPEN,
    PAST,
    UNKNOWN_KIND,
    Arrival,
    Emitted,
    Entry,
    Joined,
    Key,
    Refusal,
    State,
    Terms,
    key_of,
    objection,
    or_default,
    pack,
    reckon,
    terms_of,
    unpack,
    worthless,
)

REMEMBERED_MS: Final = 600_000
"""A decision is known for at least so long after its end, should it be sent again."""

_ORPHAN: Final = "no decision came while its window lasted"


class Join:
    """The join of one partition; `source` is its number.

    What it has to say piles up until `take` hands it over. `catalogue` must have been read up
    to the records that are fed.

    Attributes:
        source: the partition's number.
        time_ms: that of the last record.
        layouts: how many partitions there are, and were before; for who feeds it to keep.
    """

    def __init__(self, source: int, catalogue: Catalogue) -> None:
        self.source = source
        self.time_ms = -1
        self.layouts: set[int] = set()
        self._catalogue = catalogue
        self._interactions: list[Emitted] = []
        self._refusals: list[Refusal] = []
        self._unknown: list[Refusal] = []
        self._sequence = 0
        self._ordinal = 0
        self._entries: dict[Key, Entry] = {}
        self._early: dict[Key, dict[str, Arrival]] = {}
        # Open decisions of the slots after an event's first, which activates them too.
        self._later: dict[str, list[Entry]] = {}
        # What says something when it falls due, and what then merely takes up less memory.
        self._timers: list[tuple[int, int, Entry | Arrival]] = []
        self._forgetting: list[tuple[int, int, Entry]] = []
        self._terms: list[Terms] = []
        self._terms_of: dict[str, tuple[Placement, int]] = {}

    def take(self) -> tuple[list[Emitted], list[Refusal]]:
        """Returns what came of the records fed since the last call, in order."""
        taken = self._interactions, self._refusals
        self._interactions, self._refusals = [], []
        return taken

    def deadline_ms(self) -> int | None:
        """Returns when something is due even if no event comes, None if nothing is."""
        return self._timers[0][0] if self._timers else None

    def tick(self, at_ms: int) -> None:
        """Moves time on to `at_ms`; what is due by then falls due, in order."""
        timers, forgetting = self._timers, self._forgetting
        while timers and timers[0][0] <= at_ms:
            due_ms, _, what = heappop(timers)
            if isinstance(what, Arrival):
                self._give_up(what)
            elif what.phase == OPEN:
                # Never before the record that made it due, however old that record's event is.
                self._close(what, max(due_ms, self.time_ms))
            else:
                self._tell_withheld(what, max(due_ms, self.time_ms))
        while forgetting and forgetting[0][0] <= at_ms:
            due_ms, _, entry = heappop(forgetting)
            if entry.phase == CLOSED:
                self._pass(entry, max(due_ms, self.time_ms))
            else:
                del self._entries[entry.event_id, entry.slot]
        self.time_ms = at_ms

    def decide(self, decision: Decision | Slate, json: bytes, at_ms: int, offset: int) -> None:
        """Takes in a decision, whose record holds `json` and was appended at `at_ms`.

        A slate is taken in as the decisions of its slots, all of them or none.
        """
        self.tick(at_ms)
        of_slate = isinstance(decision, Slate)
        slots = [s.slot for s in decision.slots] if isinstance(decision, Slate) else [decision.slot]
        known = next((e for s in slots if (e := self._entries.get((decision.event_id, s)))), None)
        placement = self._catalogue.placement_at(decision.placement, at_ms)
        if known is not None:
            repeated = known.timestamp_ms == decision.timestamp_ms and known.json in (json, b"")
            code = "repeated_decision" if repeated else "duplicate_decision"
            error = f"event {decision.event_id!r}, slot {known.slot}, was decided before"
            self._refuse(code, error, decision, offset)
        elif placement is None:
            error = f"no placement {decision.placement!r} in the catalogue"
            self._refuse("unknown_placement", error, decision, offset)
        else:
            index, head = self._index_of(placement), slots[0] if of_slate else -1
            for slot in slots:
                self._open(decision, slot, head, json, at_ms, index)

    def observe(self, outcome: Outcome, at_ms: int, offset: int) -> None:
        """Takes in an outcome, whose record was appended at `at_ms`."""
        self.tick(at_ms)
        arrival = Arrival(outcome, at_ms, offset)
        entry = self._entries.get((outcome.event_id, outcome.slot)) or self._stand_in(arrival)
        if entry is None:
            self._hold(arrival)
        elif self._accept(entry, arrival):
            self._tell_event(entry, at_ms, counted=True)

    def take_unknown(self) -> list[Refusal]:
        """Returns the outcomes since the last call whose kind their placement does not reward.

        They are in their decision's interactions all the same, and change no reward.
        """
        taken, self._unknown = self._unknown, []
        return taken

    def knows(self, outcome: Outcome) -> bool:
        """Returns whether the outcome's event was decided here, as of the last record."""
        return (outcome.event_id, outcome.slot) in self._entries or self._decided(outcome.event_id)

    def take_early(self, is_elsewhere: Callable[[str], bool]) -> list[Arrival]:
        """Returns, and lets go of, outcomes whose event is not known here and is elsewhere."""
        keys = [key for key in self._early if not self._decided(key[0]) and is_elsewhere(key[0])]
        return [arrival for key in keys for arrival in self._early.pop(key).values()]

    def to_bytes(self) -> bytes:
        """Returns the whole state: equal for equal records fed, byte for byte."""
        early = [arrival for held in self._early.values() for arrival in held.values()]
        entries = list(self._entries.values())
        return pack(
            State(
                self.source,
                self.time_ms,
                self._sequence,
                self._ordinal,
                self._terms,
                entries,
                early,
                layouts=sorted(self.layouts),
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes, catalogue: Catalogue) -> Join:
        """Returns the join whose `to_bytes` gave `data`, with nothing to say yet.

        Raises:
            CheckpointError: the bytes are no such state, or one of another version.
        """
        state = unpack(data)
        join = cls(state.source, catalogue)
        join.time_ms = state.time_ms
        join._sequence = state.sequence
        join._ordinal = state.ordinal
        join._terms = state.terms
        join.layouts = set(state.layouts)
        for entry in state.entries:
            join._entries[entry.event_id, entry.slot] = entry
            timers = join._timers if entry.phase == OPEN else join._forgetting
            timers.append((entry.due_ms, entry.ordinal, entry))
            if entry.withheld and entry.phase == CLOSED:
                join._timers.append((entry.due_ms, entry.ordinal, entry))
            if entry.slot and entry.phase == OPEN:
                join._later.setdefault(entry.event_id, []).append(entry)
        for arrival in state.early:
            join._early.setdefault(key_of(arrival), {})[arrival.outcome.outcome_id] = arrival
            join._timers.append((arrival.due_ms, arrival.ordinal, arrival))
        heapify(join._timers)
        heapify(join._forgetting)
        return join

    def _decided(self, event_id: str) -> bool:
        return (event_id, 0) in self._entries or event_id in self._later

    def _open(
        self,
        decision: Decision | Slate,
        slot: int,
        head: int,
        json: bytes,
        at_ms: int,
        index: int,
    ) -> None:
        terms = self._terms[index]
        key = decision.event_id, slot
        due_ms = at_ms + terms.window_ms + terms.grace_ms
        self._ordinal += 1
        awaited = decision.deferred and not self._is_activated(key[0])
        times = decision.timestamp_ms, at_ms, due_ms
        entry = Entry(*key, self._ordinal, index, *times, awaited, json, head=head)
        self._entries[key] = entry
        if entry.slot:
            self._later.setdefault(entry.event_id, []).append(entry)
        heappush(self._timers, (due_ms, self._ordinal, entry))
        if key in self._early:
            for arrival in self._early.pop(key).values():
                self._accept(entry, arrival)
        if entry.slot and (entry.event_id, 0) in self._early:
            self._claim_activations(entry)
        self._tell_event(entry, at_ms)

    def _hold(self, arrival: Arrival) -> None:
        """Keeps an outcome without a decision for as long as any placement's could claim it."""
        outcome = arrival.outcome
        held = self._early.get(key_of(arrival), {})
        if outcome.outcome_id in held:
            self._refuse_outcome(arrival, "duplicate_outcome", DUPLICATE)
            return
        there = self._catalogue.placements_at(arrival.at_ms) or [Placement(name="none yet")]
        hold_ms = max(
            terms.window_of(outcome.kind) + terms.grace_ms for terms in map(terms_of, there)
        )
        # From its record on: its decision may be held up as long as it was itself.
        arrival.due_ms = arrival.at_ms + hold_ms
        self._ordinal += 1
        arrival.ordinal = self._ordinal
        self._early.setdefault(key_of(arrival), held)[outcome.outcome_id] = arrival
        heappush(self._timers, (arrival.due_ms, arrival.ordinal, arrival))

    def _give_up(self, arrival: Arrival) -> None:
        held = self._early.get(key_of(arrival), {})
        # Its decision may have claimed it since; then there is nothing to give up.
        if held.get(arrival.outcome.outcome_id) is arrival:
            del held[arrival.outcome.outcome_id]
            if not held:
                del self._early[key_of(arrival)]
            self._refuse_outcome(arrival, "orphan", _ORPHAN)

    def _accept(self, entry: Entry, arrival: Arrival) -> bool:
        """Counts the outcome towards the decision, unless there is an objection."""
        found = objection(entry, arrival, self._terms[entry.terms])
        if found is not None:
            self._refuse_outcome(arrival, *found)
            return False
        if entry.arrivals is None:
            entry.arrivals = {}
        entry.arrivals[arrival.outcome.outcome_id] = arrival
        if arrival.outcome.kind in (ACTIVATION, SLOT_ACTIVATION):
            entry.awaited = False
        terms, outcome = self._terms[entry.terms], arrival.outcome
        if outcome.kind not in terms.kinds and outcome.kind not in UNREWARDED:
            error = worthless(outcome.kind, terms.placement, terms.kinds)
            refusal = Refusal(UNKNOWN_KIND, error, OUTCOMES, arrival.offset, outcome)
            self._unknown.append(refusal)
        return True

    def _stand_in(self, arrival: Arrival) -> Entry | None:
        """Returns which slot takes an activation of its event while there is no slot 0."""
        outcome = arrival.outcome
        if outcome.kind == ACTIVATION and outcome.slot == 0:
            for entry in self._later.get(outcome.event_id, ()):
                found = objection(entry, arrival, self._terms[entry.terms])
                if found is None or found[0] == "duplicate_outcome":
                    return entry
        return None

    def _claim_activations(self, entry: Entry) -> None:
        """Takes what came early for slot 0 and activates the event, as `_stand_in` would."""
        waiting = self._early[entry.event_id, 0]
        for arrival in list(waiting.values()):
            if self._stand_in(arrival) is entry:
                # One that the slot has by that id is refused, here as well, and waits no more.
                self._accept(entry, arrival)
                del waiting[arrival.outcome.outcome_id]
        if not waiting:
            del self._early[entry.event_id, 0]

    def _is_activated(self, event_id: str) -> bool:
        """Returns whether an open slot of the event took an activation of all of them."""
        return any(
            arrival.outcome.kind == ACTIVATION and arrival.outcome.slot == 0
            for entry in self._open_slots(event_id)
            for arrival in (entry.arrivals or {}).values()
        )

    def _open_slots(self, event_id: str) -> list[Entry]:
        """Returns the event's open decisions, slot 0 first, then in their order."""
        first = self._entries.get((event_id, 0))
        later = self._later.get(event_id, [])
        return [first, *later] if first is not None and first.phase == OPEN else [*later]

    def _tell_event(self, entry: Entry, now_ms: int, *, counted: bool = False) -> None:
        """Emits what is new about a decision, and about those that its activation reaches."""
        self._tell(entry, now_ms, counted=counted)
        if entry.event_id in self._later and self._is_activated(entry.event_id):
            for other in self._open_slots(entry.event_id):
                if other.awaited:
                    other.awaited = False
                    self._tell(other, now_ms, counted=False)

    def _tell(self, entry: Entry, now_ms: int, *, counted: bool) -> None:
        """Emits what is new about a decision, if it is one that says so before it closes.

        A correction writes the decision again, and so does the showing of a slate's slot by itself,
        which is `counted`. After as many as the placement allows, the news wait for the end.
        """
        terms = self._terms[entry.terms]
        if entry.awaited or (entry.phase == OPEN and not terms.realtime):
            return
        outcomes, reward = reckon(entry, terms)
        # Once it is closed, a correction is the only place left for an outcome to be seen in.
        if entry.phase != CLOSED and or_default(reward, terms) == entry.told:
            return
        status: Status = "provisional" if entry.told is None else "corrected"
        if status == "corrected" or (counted and entry.head >= 0):
            first = entry if entry.head < 0 else self._entries[entry.event_id, entry.head]
            if first.corrections >= terms.corrections:
                self._withhold(entry)
                return
            first.corrections += 1
        self._emit(entry, terms, status, now_ms, outcomes, reward)

    def _withhold(self, entry: Entry) -> None:
        """Leaves an outcome to the closed interaction, or to a last correction if it has been."""
        if entry.phase == CLOSED and not entry.withheld:
            entry.withheld = True
            heappush(self._timers, (entry.due_ms, entry.ordinal, entry))

    def _tell_withheld(self, entry: Entry, now_ms: int) -> None:
        entry.withheld = False
        terms = self._terms[entry.terms]
        self._emit(entry, terms, "corrected", now_ms, *reckon(entry, terms))

    def _close(self, entry: Entry, now_ms: int) -> None:
        terms = self._terms[entry.terms]
        longest_ms = entry.arrived_ms + terms.longest_ms + terms.grace_ms
        if entry.slot:
            self._later[entry.event_id].remove(entry)
            if not self._later[entry.event_id]:
                del self._later[entry.event_id]
        if entry.awaited:
            for arrival in (entry.arrivals or {}).values():
                self._refuse_outcome(arrival, "not_activated", NOT_ACTIVATED)
        else:
            outcomes, reward = reckon(entry, terms)
            self._emit(entry, terms, "closed", now_ms, outcomes, reward)
        if longest_ms <= now_ms:
            self._pass(entry, now_ms)
        else:
            entry.phase = CLOSED
            entry.corrections = 0
            entry.due_ms = longest_ms
            heappush(self._forgetting, (longest_ms, entry.ordinal, entry))

    def _pass(self, entry: Entry, now_ms: int) -> None:
        """Keeps of a decision only that it was, for as long again: to tell late and repeated."""
        terms = self._terms[entry.terms]
        entry.phase = PAST
        entry.json = b""
        entry.arrivals = None
        entry.due_ms = now_ms + max(terms.longest_ms + terms.grace_ms, REMEMBERED_MS)
        heappush(self._forgetting, (entry.due_ms, entry.ordinal, entry))

    def _emit(
        self,
        entry: Entry,
        terms: Terms,
        status: Status,
        now_ms: int,
        outcomes: tuple[Outcome, ...],
        earned: float | None,
    ) -> None:
        reward = or_default(earned, terms)
        joined = Joined(
            self.source,
            self._sequence,
            Raw(entry.json),
            reward,
            status,
            now_ms,
            entry.told,
            outcomes,
        )
        of_slate = entry.event_id if entry.head >= 0 else None
        self._interactions.append(
            Emitted(terms.placement, joined, earned is None, entry.slot, of_slate)
        )
        self._sequence += 1
        entry.told = reward

    def _refuse(self, code: str, error: str, decision: Decision | Slate, offset: int) -> None:
        self._refusals.append(Refusal(code, error, DECISIONS, offset, decision))

    def _refuse_outcome(self, arrival: Arrival, code: str, error: str) -> None:
        refusal = Refusal(code, error, OUTCOMES, arrival.offset, arrival.outcome)
        self._refusals.append(refusal)

    def _index_of(self, placement: Placement) -> int:
        """Returns where the placement's terms are among ours, adding them if they are new."""
        known = self._terms_of.get(placement.name)
        if known is not None and known[0] is placement:
            return known[1]
        terms = terms_of(placement)
        if terms not in self._terms:
            self._terms.append(terms)
        index = self._terms.index(terms)
        self._terms_of[placement.name] = placement, index
        return index
