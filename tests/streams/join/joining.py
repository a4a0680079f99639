"""Runs the pure join over records, for the conformance set and the laws."""

from __future__ import annotations

import random

import msgspec

from streams.catalogue.state import Catalogue
from streams.events import DECISIONS, OUTCOMES, Decision, Outcome, Placement, Tick, decode, encode
from streams.join.machine import Join
from streams.join.partition import Merge
from streams.logs.base import Record

AFTER_ALL = 10**12
DECISION = {
    "type": "decision",
    "placement": "p",
    "context": {},
    "actions": [{"id": "x"}],
    "pmf": [1.0],
    "index": 0,
    "policy_version": "v",
}
OUTCOME = {"type": "outcome", "kind": "click"}


def event_of(row):
    """Returns the topic and the bytes of a record of the conformance set."""
    if "tick" in row:
        return row["tick"], encode(Tick())
    topic, defaults = (DECISIONS, DECISION) if "decision" in row else (OUTCOMES, OUTCOME)
    given = row.get("decision") or row["outcome"]
    return topic, msgspec.json.encode({**defaults, "timestamp_ms": row["at"], **given})


def records_of(rows, until=AFTER_ALL):
    """Returns the records of both sides, in the order of their append, and ticks up to `until`."""
    ticks = (
        [] if until is None else [{"at": until, "tick": OUTCOMES}, {"at": until, "tick": DECISIONS}]
    )
    # An outcome in the last millisecond needs the decisions to be past it.
    if until is not None:
        ticks.append({"at": until + 1, "tick": DECISIONS})
    offsets = {DECISIONS: 0, OUTCOMES: 0}
    records = []
    for row in [*rows, *ticks]:
        topic, value = event_of(row)
        records.append(Record(topic, 0, offsets[topic], row["at"], b"", value))
        offsets[topic] += 1
    return records


def catalogue_of(rows):
    catalogue = Catalogue()
    for row in rows:
        catalogue.apply(
            msgspec.convert(row["placement"] | {"type": "placement"}, Placement), row["at"]
        )
    return catalogue


def feed(join, record):
    event = decode(record.value)
    match event:
        case Decision():
            join.decide(event, record.value, record.timestamp_ms, record.offset)
        case Outcome():
            join.observe(event, record.timestamp_ms, record.offset)
        case _:
            join.tick(record.timestamp_ms)


def run(records, catalogue, *, source=0, cut=lambda n: False):
    """Returns the interactions, as events, and the refusals.

    Where `cut(n)` is true, the join goes through its bytes after n records were read.
    """
    merge, join = Merge(), Join(source, catalogue)
    interactions, refusals, waiting = [], [], []
    for number, record in enumerate(records, 1):
        merge.add(record)
        released = merge.release()
        for next_one in released:
            feed(join, next_one)
        emitted, refused = join.take()
        interactions += emitted
        refusals += refused
        waiting = [r for r in [*waiting, record] if not any(is_same(r, gone) for gone in released)]
        if cut(number):
            state = join.to_bytes()
            join = Join.from_bytes(state, catalogue)
            assert join.to_bytes() == state
            # What waits is read again, as it stands in the log.
            merge = Merge(join.time_ms)
            for again in waiting:
                merge.add(again)
    return [as_event(e) for e in interactions], refusals


def is_same(record, other):
    return (record.topic, record.offset) == (other.topic, other.offset)


def as_event(emitted):
    interaction = decode(encode(emitted.interaction))
    assert interaction.decision.placement == emitted.placement
    return interaction


def delivered(records, seed):
    """Returns the records in some order of delivery that keeps each side's own."""
    rng = random.Random(seed)
    sides = [[r for r in records if r.topic == topic] for topic in (DECISIONS, OUTCOMES)]
    order = []
    while any(sides):
        side = rng.choice([side for side in sides if side])
        share = rng.choice([1, 1, 2, 5, 50])
        order += side[:share]
        del side[:share]
    return order
