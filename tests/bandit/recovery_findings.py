"""What must hold of a loop's log after whatever befell it, held against a calm fold of the same."""

import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import NamedTuple

from bandit.errors import BanditError
from bandit.learning.fold import PartitionFold
from bandit.verification import audit
from streams.catalogue.state import CatalogueReader
from streams.checkpoint import Checkpoints
from streams.dead_letters import TIME_AHEAD, letter_of, origin
from streams.errors import EventError
from streams.events import (
    CATALOGUE,
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    Decision,
    Interaction,
    Outcome,
    PolicySnapshot,
    decode,
)
from streams.fold import partitions, scan_topic
from streams.join.worker import run_joiner
from streams.logs.base import Message
from streams.logs.embedded import MemoryLog
from streams.topics import create_topics
from tests.bandit.recovery import until

SIDES = (DECISIONS, OUTCOMES)


class Findings(NamedTuple):
    """What became of the traffic.

    Repeated are those that are in the log twice, byte for byte, as an append to Kafka that is
    tried again may leave them; all that follows must be 0 on any log.
    """

    decisions: int
    outcomes: int
    repeated_decisions: int
    repeated_interactions: int
    lost_decisions: int
    lost_outcomes: int
    unaccounted_outcomes: int
    not_closed_once: int
    conflicting_interactions: int
    audit_mismatches: int
    joins_different: int
    policies_different: int

    @property
    def wrong(self):
        """What is not as it must be, by name."""
        return {name: n for name, n in list(self._asdict().items())[4:] if n}


class Events:
    """All that a log says, read once: each readable event by its record."""

    def __init__(self, log):
        self.decisions = _by_record(log, DECISIONS, Decision)
        self.outcomes = _by_record(log, OUTCOMES, Outcome)
        self.interactions = _by_record(log, INTERACTIONS, Interaction)
        self.laid_aside = {origin(letter) for letter in records(log, DEAD_LETTER)}
        self.decided = {d.event_id for d in self.decisions.values()}
        self.happened = {o.event_id for o in self.outcomes.values()}

    def due(self):
        """The ids of decisions that must be closed: of all but those that were laid aside."""
        return {
            decision.event_id
            for record, decision in self.decisions.items()
            if record[:3] not in self.laid_aside
        }

    def closed(self):
        """By the id of each decision, the ids of its closed interactions."""
        closed = defaultdict(set)
        for interaction in self.interactions.values():
            if interaction.status == "closed":
                closed[interaction.decision.event_id].add(interaction.id)
        return closed

    def forms(self):
        """By the id of each interaction, the bytes that it is in the log as."""
        forms = defaultdict(set)
        for record, interaction in self.interactions.items():
            forms[interaction.id].add(record.value)
        return forms

    def unaccounted(self):
        """The outcomes that neither count towards a decision nor are laid aside with a reason."""
        counted = {
            (o.event_id, o.outcome_id) for i in self.interactions.values() for o in i.outcomes
        }
        for record, outcome in self.outcomes.items():
            if record[:3] in self.laid_aside:
                counted.add((outcome.event_id, outcome.outcome_id))
        return {(o.event_id, o.outcome_id) for o in self.outcomes.values()} - counted


def settle(loop, traffic, *, seconds=90):
    """Waits until all that was acknowledged is joined and learned, then stops the loop."""
    deadline = time.monotonic() + seconds
    while True:
        events = Events(loop.log)
        left = {
            "missing": (traffic.decisions - events.decided) | (traffic.clicks - events.happened),
            "not closed": events.due() - events.closed().keys(),
            "unaccounted": events.unaccounted(),
        }
        if not any(left.values()) and not unpublished(loop.log, folds(loop.log, events)):
            break
        assert time.monotonic() < deadline, left
        loop.check()
        time.sleep(0.2)
    loop.stop()


def findings(loop, traffic):
    """What a settled loop's log says, held against the traffic and against calm folds."""
    log, events = loop.log, Events(loop.log)
    closed, forms = events.closed(), events.forms()
    outcome_ids = {(o.event_id, o.outcome_id) for o in events.outcomes.values()}
    mismatches = [(DECISIONS, m.partition, m.offset) for m in audit(log).mismatches]
    return Findings(
        decisions=len(events.decided),
        outcomes=len(outcome_ids),
        repeated_decisions=len(events.decisions) - len(events.decided),
        repeated_interactions=len(events.interactions) - len(forms),
        lost_decisions=len(traffic.decisions - events.decided),
        lost_outcomes=len(traffic.clicks - events.happened),
        unaccounted_outcomes=len(events.unaccounted()),
        not_closed_once=sum(len(closed[name]) != 1 for name in events.due() | closed.keys()),
        conflicting_interactions=sum(len(values) - 1 for values in forms.values()),
        audit_mismatches=len(set(mismatches) - events.laid_aside),
        joins_different=_joins_different(log, events, loop.directory / "calm"),
        policies_different=_policies_different(loop, events),
    )


def records(log, topic):
    """The topic's records, partition by partition."""
    return list(scan_topic(log, topic))


def _by_record(log, topic, kind):
    found = {}
    for record in records(log, topic):
        with suppress(EventError):
            if isinstance(event := decode(record.value), kind):
                found[record] = event
    return found


def _joins_different(log, events, directory):
    """How many interactions differ from those of a join that nothing ever disturbed."""
    found = {i.id: record.value for record, i in events.interactions.items()}
    calm = calm_join(log, directory, len(found))
    return sum(found.get(name) != calm.get(name) for name in found.keys() | calm.keys())


def calm_join(log, directory, count):
    copy = MemoryLog()
    create_topics(copy, partitions=log.partitions(DECISIONS))
    letters = map(letter_of, records(log, DEAD_LETTER))
    ahead = {letter.source for letter in letters if letter.reason == TIME_AHEAD}
    for topic in (CATALOGUE, *SIDES):
        for record in records(log, topic):
            if record[:3] in ahead:
                continue
            partition, timestamp_ms, key, value, headers = record[1], *record[3:7]
            copy.append([Message(topic, key, value, headers, timestamp_ms, partition)])
    places = partitions(copy, INTERACTIONS)
    with _in_thread(run_joiner, copy, directory):
        until(lambda: sum(map(copy.end_offset, places)) >= count)
    return {i.id: record.value for record, i in Events(copy).interactions.items()}


def folds(log, events):
    """By partition, what the interactions make of the policies, each taken in once."""
    reader = CatalogueReader(log)
    reader.catch_up()
    found, seen = defaultdict(PartitionFold), set()
    for record, interaction in events.interactions.items():
        if interaction.id not in seen:
            seen.add(interaction.id)
            # What it refuses it refuses in the learner too.
            with suppress(BanditError, EventError):
                found[record.partition].take(record, reader.catalogue)
    return found


def _policies_different(loop, events):
    """How many states of learners, and published policies, are not what they should be."""
    made, checkpoints = folds(loop.log, events), Checkpoints(loop.checkpoints)
    saved = {number: checkpoints.load(f"learn-{number}") for number in made}
    different = sum(
        saved[number] is None or saved[number].state != fold.to_bytes()
        for number, fold in made.items()
    )
    return different + len(unpublished(loop.log, made))


def unpublished(log, made):
    """The placements whose last published policy is not the one that was folded."""
    published = {
        snapshot.placement: snapshot.state
        for snapshot in _by_record(log, POLICIES, PolicySnapshot).values()
    }
    return [
        name
        for fold in made.values()
        for name, placement in fold.placements.items()
        if published.get(name) != placement.policy.to_bytes()
    ]


@contextmanager
def _in_thread(run, log, directory):
    """Runs one of the processes' functions in a thread for the block."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(log, directory), kwargs={"stop": stop})
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
