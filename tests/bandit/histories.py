"""Histories to learn from: decisions as a server makes them, and what came of them."""

import json
import random
import threading
from contextlib import closing
from functools import cache

import pytest
from msgspec import Raw

from bandit.learning.fold import PartitionFold, PlacementFold
from bandit.policies import load_policy, parse_policy
from bandit.policy import sample, sample_seed
from streams.archive.parquet import run_archive
from streams.catalogue.state import CatalogueReader, catalogue_message
from streams.events import (
    CATALOGUE,
    DECISIONS,
    INTERACTIONS,
    Action,
    Interaction,
    Placement,
    decode,
    encode,
)
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.logs.sqlite import SqliteLog
from streams.topics import create_topics
from tests.bandit.decisions import a_creative, a_decision

NOW_MS = 1_700_000_000_000
PARTITION = TopicPartition(INTERACTIONS, 0)
THOMPSON = {"name": "thompson"}
VW_TEXT = "vw:--cb_explore_adf --squarecb --cb_type mtr -b 10"
VW = parse_policy(VW_TEXT)
SPECS = pytest.mark.parametrize("spec", [THOMPSON, VW], ids=["thompson", "vw"])
ACTIONS = tuple(
    Action(name, Raw(json.dumps({"length": length, "tone": tone}).encode()))
    for name, length, tone in [("a", 3, "plain"), ("b", 5, "loud"), ("c", 8, "plain")]
)


def new_log(*placements, partitions=1):
    """A log in memory with its topics and these placements."""
    log = MemoryLog()
    create_topics(log, partitions=partitions)
    put(log, *placements)
    return log


def put(log, *events):
    log.append([catalogue_message(event) for event in events])


def placement(name="home", policy=None, **fields):
    return Placement(name=name, policy=policy or {"name": "thompson"}, **fields)


def creative(action, placement="home", status="live"):
    more = {"placement": placement, "at_ms": NOW_MS, "features": action.features}
    return a_creative(action.id, status=status, **more)


def catalogue_of(log):
    reader = CatalogueReader(log)
    reader.catch_up()
    return reader.catalogue


def folded(log, records=None):
    """The fold of these interactions, of all in the log if none are given."""
    fold, catalogue = PartitionFold(), catalogue_of(log)
    for record in log.read(PARTITION, 0, limit=100_000) if records is None else records:
        fold.take(record, catalogue)
    return fold


def decision(event_id, policy, version, *, placement="home", context=None, actions=ACTIONS):
    """A decision as a server makes it: the policy's pmf, and the draw that the event id gives."""
    context = Raw(json.dumps({"hour": 1} if context is None else context).encode())
    pmf = policy.pmf(context, actions)
    index, made = sample(pmf, sample_seed(event_id)), {"placement": placement, "version": version}
    return a_decision(event_id, actions, pmf, index, at_ms=NOW_MS, context=context, **made)


def interaction(
    decision, sequence, reward, *, status="closed", source=0, previous=None, outcomes=()
):
    return Interaction(
        source=source,
        sequence=sequence,
        decision=decision,
        reward=reward,
        status=status,
        timestamp_ms=NOW_MS + sequence,
        previous_reward=previous,
        outcomes=outcomes,
    )


def interaction_message(interaction):
    return Message(INTERACTIONS, interaction.decision.placement.encode(), encode(interaction))


def archived(directory, interactions):
    """The folder of an archive of these interactions."""
    log = new_log()
    log.append([interaction_message(each) for each in interactions])
    stop = threading.Event()
    stop.set()
    run_archive(log, directory, stop=stop)
    return directory


def decision_message(decision):
    return Message(DECISIONS, decision.event_id.encode(), encode(decision))


def tampered(log, event_id, change):
    """A log with the same records, but for a change to the decisions of one event."""
    copy = new_log()
    for topic in (CATALOGUE, DECISIONS, INTERACTIONS):
        for record in log.read(TopicPartition(topic, 0), 0, limit=10**6):
            value = record.value
            if topic == DECISIONS and record.key == event_id.encode():
                value = encode(change(decode(value)))
            copy.append([Message(topic, record.key, value, headers=record.headers)])
    return copy


def data_folder(folder, *events):
    """The folder, with these events in its log's catalogue."""
    with closing(SqliteLog(folder / "log.db")) as log:
        create_topics(log)
        put(log, *events)
    return folder


def live(log, placement, n, *, seed, new_version_every=7, first=0):
    """Appends `n` decisions to the log, and what was learned of each, as a whole loop would.

    A fresh version is served after every `new_version_every` decisions. Returns the fold.
    """
    rng = random.Random(seed)
    fold = PlacementFold(placement.policy)
    for number in range(n):
        if number % new_version_every == 0:
            served = fold.snapshot(placement.name, 0)
        made = decision(
            f"{placement.name}-{first + number}",
            load_policy(served.state),
            served.version,
            placement=placement.name,
            context={"hour": rng.randrange(24)},
        )
        log.append([decision_message(made)])
        clicked = rng.random() < 0.2 + 0.2 * made.index
        learned = interaction(made, first + number, float(clicked))
        (where,) = log.append([interaction_message(learned)])
        fold.take(learned, where.offset)
    return fold


@cache
def lived(policy, n, *, seed):
    """The messages of the interactions that `live` makes with a policy, as text; made once."""
    made = placement(policy=parse_policy(policy))
    log = new_log(made)
    live(log, made, n, seed=seed)
    records = log.read(PARTITION, 0, limit=n)
    return [Message(INTERACTIONS, record.key, record.value) for record in records]
