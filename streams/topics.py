"""The topics that copyloop keeps, how each is laid out, and who reads them as a group.

Layout and names stand here alone: what makes the topics, what describes them, and what says how
far their readers are all go by this.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from streams import events
from streams.errors import TopicError
from streams.log import Log

JOINER_GROUP: Final = "joiner"
LEARNER_GROUP: Final = "learner"
INGEST_GROUP: Final = "ingest"
GROUPS: Final = {
    JOINER_GROUP: (events.DECISIONS, events.OUTCOMES),
    LEARNER_GROUP: (events.INTERACTIONS,),
}
"""What each group reads; `ingest` reads what its mappings name."""


class Topic(NamedTuple):
    """One topic: what it holds, by what key, and how it is laid out.

    One that is not `partitioned` has a single partition, whatever is asked for, since everyone
    reads all of it in order. Of a `compact` one only the last record of each key is kept.
    """

    name: str
    holds: str
    key: str
    partitioned: bool = False
    compact: bool = False

    @property
    def retention(self) -> str:
        """Returns what is kept, in words."""
        return "last of each key" if self.compact else "all"


LAYOUT: Final = (
    Topic(events.DECISIONS, "every choice that was made", "event id", partitioned=True),
    Topic(events.OUTCOMES, "what happened after decisions", "event id", partitioned=True),
    Topic(events.INTERACTIONS, "decisions with their reward", "placement", partitioned=True),
    Topic(events.POLICIES, "snapshots of policies", "placement", partitioned=True, compact=True),
    Topic(events.CATALOGUE, "placements, creatives and generations", "kind/name"),
    Topic(events.DEAD_LETTER, "records that nobody could use", "that of the record"),
    Topic(events.ACCESS, "keys of the API, without their secrets", "key id", compact=True),
    Topic(events.ACTS, "what people had the service do", "act id"),
    Topic(events.ASSIGNMENTS, "who keeps which creative", "user/placement", compact=True),
)


class TopicState(NamedTuple):
    """A topic of ours in one log: its partitions, and whether it was there before."""

    topic: Topic
    partitions: int
    state: Literal["there", "made", "missing"]


def create_topics(log: Log, *, partitions: int = 1) -> None:
    """Makes every topic that is not there yet.

    `decisions` and `outcomes` are co-partitioned by event id, `interactions` and `policies` by
    placement; the catalogue is one ordered partition, since everyone reads all of it.
    """
    for topic in LAYOUT:
        _create(log, topic, partitions)


def topic_states(log: Log, *, partitions: int = 1, create: bool) -> list[TopicState]:
    """Returns what topics there are; those that are missing are made with `create`.

    A topic that is there keeps the partitions that it has. One that is missing is listed with
    those that it gets.
    """
    states = []
    for topic in LAYOUT:
        try:
            states.append(TopicState(topic, log.partitions(topic.name), "there"))
        except TopicError:
            if create:
                _create(log, topic, partitions)
            count = partitions if topic.partitioned else 1
            states.append(TopicState(topic, count, "made" if create else "missing"))
    return states


def _create(log: Log, topic: Topic, partitions: int) -> None:
    count = partitions if topic.partitioned else 1
    log.create_topic(topic.name, partitions=count, compact=topic.compact)
