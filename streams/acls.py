"""What each process reads and writes, as the access rules that a Kafka cluster wants.

On a cluster that many share, a process is let in to what it needs and no more; whoever keeps
the cluster gets the commands ready to run.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

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
from streams.topics import INGEST_GROUP, JOINER_GROUP, LEARNER_GROUP


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
        if writes:
            commands.append(f"{who} --operation Write{_named('topic', prefix, writes)}")
        if group is not None:
            commands.append(f"{who} --operation Read{_named('group', prefix, [group])}")
    return commands


def _named(kind: str, prefix: str, names: Iterable[str]) -> str:
    return "".join(f" --{kind} {shlex.quote(prefix + name)}" for name in names)
