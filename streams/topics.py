"""The topics that copyloop keeps, and how each is laid out."""

from __future__ import annotations

from streams import events
from streams.log import Log


def create_topics(log: Log, *, partitions: int = 1) -> None:
    """Makes every topic that is not there yet.

    `decisions` and `outcomes` are co-partitioned by event id, `interactions` and `policies` by
    placement; the catalogue is one ordered partition, since everyone reads all of it.
    """
    for topic in (events.DECISIONS, events.OUTCOMES, events.INTERACTIONS):
        log.create_topic(topic, partitions=partitions)
    log.create_topic(events.POLICIES, partitions=partitions, compact=True)
    log.create_topic(events.CATALOGUE)
    log.create_topic(events.DEAD_LETTER)
