"""The topics of a log, how each is made, and the rules that let each process use them on Kafka."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from streams.errors import TopicError
from streams.events import (
    ACCESS,
    ACTS,
    ASSIGNMENTS,
    CATALOGUE,
    DEAD_LETTER,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    TOPICS,
)
from streams.logs.base import Log

JOINER_GROUP: Final = "joiner"
LEARNER_GROUP: Final = "learner"
INGEST_GROUP: Final = "ingest"
GROUPS: Final = {
    JOINER_GROUP: (DECISIONS, OUTCOMES),
    LEARNER_GROUP: (INTERACTIONS,),
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

    def count(self, partitions: int) -> int:
        """Returns how many partitions it gets where these are asked for."""
        return partitions if self.partitioned else 1

    @property
    def retention(self) -> str:
        """Returns what is kept, in words."""
        return "last of each key" if self.compact else "all"


LAYOUT: Final = (
    Topic(DECISIONS, "every choice that was made", "event id", partitioned=True),
    Topic(OUTCOMES, "what happened after decisions", "event id", partitioned=True),
    Topic(INTERACTIONS, "decisions with their reward", "placement", partitioned=True),
    Topic(POLICIES, "snapshots of policies", "placement", partitioned=True, compact=True),
    Topic(CATALOGUE, "placements, creatives and generations", "kind/name"),
    Topic(DEAD_LETTER, "records that nobody could use", "that of the record"),
    Topic(ACCESS, "keys of the API, without their secrets", "key id", compact=True),
    Topic(ACTS, "what people had the service do", "act id"),
    Topic(ASSIGNMENTS, "who keeps which creative", "user/placement", compact=True),
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

    Raises:
        TopicError: somebody else made one with more partitions than it may have.
    """
    for topic in LAYOUT:
        log.create_topic(topic.name, partitions=topic.count(partitions), compact=topic.compact)
        if not topic.partitioned and (found := log.partitions(topic.name)) != 1:
            raise TopicError(
                f"topic {topic.name!r} has {found} partitions; expected 1, since its order is that "
                "of one partition; delete it, and `copyloop streams topics` makes it anew"
            )


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
            count = topic.count(partitions)
            if create:
                log.create_topic(topic.name, partitions=count, compact=topic.compact)
            states.append(TopicState(topic, count, "made" if create else "missing"))
    return states


class Access(NamedTuple):
    """The topics that one process reads and writes, and the group that it reads in."""

    process: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    group: str | None = None


PROCESSES: Final = (
    # It counts what each version of a policy earned, where it is asked to.
    Access(
        "api",
        (CATALOGUE, POLICIES, INTERACTIONS, ACCESS, ACTS, ASSIGNMENTS),
        (DECISIONS, OUTCOMES, CATALOGUE, ACCESS, ACTS, ASSIGNMENTS),
    ),
    # It reads back what it wrote before a crash, and its ticks go to the topics that it joins.
    Access(
        "join",
        (DECISIONS, OUTCOMES, CATALOGUE, INTERACTIONS, DEAD_LETTER),
        (INTERACTIONS, DEAD_LETTER, DECISIONS, OUTCOMES),
        JOINER_GROUP,
    ),
    # It promotes challengers, and falls back, where a placement lets it.
    Access(
        "learn",
        (INTERACTIONS, CATALOGUE, DEAD_LETTER),
        (POLICIES, DEAD_LETTER, CATALOGUE),
        LEARNER_GROUP,
    ),
    Access("archive", (DECISIONS, OUTCOMES, INTERACTIONS, CATALOGUE, DEAD_LETTER, ACTS), ()),
    # It judges versions on trial by what they earn, and says so among the acts.
    Access("generator", (INTERACTIONS, CATALOGUE), (CATALOGUE, ACTS)),
    Access("ingest", (DEAD_LETTER,), (OUTCOMES, DEAD_LETTER), INGEST_GROUP),
)


def acl_commands(
    bootstrap: str, *, prefix: str = "", ingested: Sequence[str] = (), principal: str
) -> list[str]:
    """Returns the `kafka-acls` commands that let every process do its work.

    Everyone asks whether the topics are there, so everyone may describe them; to make them is
    for whoever runs `copyloop streams topics`.

    Args:
        bootstrap: the brokers, `host:port` with commas between.
        prefix: before the names of all topics and groups.
        ingested: the topics that `ingest` maps.
        principal: who a process is to the cluster; `{process}` stands for its name.
    """
    start = f"kafka-acls --bootstrap-server {shlex.quote(bootstrap)} --add --allow-principal "
    commands = []
    for process, reads, writes, group in PROCESSES:
        more = tuple(ingested) if process == "ingest" else ()
        who = start + shlex.quote(principal.replace("{process}", process))
        commands.append(f"{who} --operation Describe{_named('topic', prefix, TOPICS)}")
        commands.append(f"{who} --operation Read{_named('topic', prefix, reads + more)}")
        if process == "api":
            # Its doctor looks at how the topics are set up.
            commands.append(f"{who} --operation DescribeConfigs{_named('topic', prefix, TOPICS)}")
        if writes:
            commands.append(f"{who} --operation Write{_named('topic', prefix, writes)}")
        if group is not None:
            commands.append(f"{who} --operation Read{_named('group', prefix, [group])}")
    return commands


def _named(kind: str, prefix: str, names: Iterable[str]) -> str:
    return "".join(f" --{kind} {shlex.quote(prefix + name)}" for name in names)
