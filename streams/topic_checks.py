"""What is wrong with the topics of a log on Kafka, and the commands that set it right.

Whoever runs a cluster often makes its topics, by defaults of its own: a week's retention loses the
catalogue, and producers' clocks decide what is late.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from streams.catalogue.state import CatalogueReader
from streams.errors import LogError
from streams.events import CATALOGUE, DEAD_LETTER, DECISIONS, OUTCOMES
from streams.join.state import terms_of
from streams.logs.base import Log
from streams.logs.topic_settings import COMPACTED_MS, LARGEST_BYTES, topic_settings
from streams.topics import Topic, TopicState, topic_states

SLOW_COMPACTION_MS: Final = 600_000
"""Records that are replaced are read at each start for as long as they are not compacted away."""
FOREVER: Final = "-1"

logger = logging.getLogger(__name__)


class Fault(NamedTuple):
    """A setting of a topic that must be another one: what is there, what must be, and why."""

    topic: str
    setting: str
    there: str
    wanted: str
    why: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.there}, must be {self.wanted}: {self.why}"


def topic_faults(log: Log, states: Sequence[TopicState] | None = None) -> list[Fault]:
    """Returns what is wrong with the topics that are there; a log in a file has nothing to set.

    Args:
        log: whose topics are looked at.
        states: the log's topics, if they are known.

    Raises:
        LogError: the log did not say.
    """
    states = topic_states(log, create=False) if states is None else states
    there = [state for state in states if state.state != "missing"]
    settings = log.topic_settings([state.topic.name for state in there])
    faults = list(_partition_faults(there))
    finite = any(int(told.get("retention.ms", FOREVER)) >= 0 for told in settings.values())
    keep_ms = _longest_ms(log) if finite and CATALOGUE in settings else 0
    for state in there:
        faults += _setting_faults(state.topic, settings.get(state.topic.name, {}), keep_ms)
    return faults


def warn_of_topics(log: Log) -> None:
    """Logs what is wrong with the topics, at a start; says nothing where it may not look."""
    try:
        faults = topic_faults(log)
    except LogError as error:
        logger.info("the topics' settings cannot be looked at: %s", error)
        return
    for fault in faults:
        logger.warning("topic %s; `copyloop streams topics` prints what sets it right", fault)


def topic_commands(
    states: Sequence[TopicState], faults: Sequence[Fault], *, bootstrap: str, prefix: str
) -> list[str]:
    """Returns Kafka's own commands that make what is missing and set right what is wrong."""
    start = f"--bootstrap-server {shlex.quote(bootstrap)}"
    commands = []
    for topic, count, state in states:
        name = shlex.quote(prefix + topic.name)
        mine = [fault for fault in faults if fault.topic == topic.name]
        if state == "missing":
            settings = "".join(
                f" --config {k}={v}" for k, v in topic_settings(compact=topic.compact).items()
            )
            commands.append(
                f"kafka-topics {start} --create --topic {name} --partitions {count}{settings}"
            )
        wanted = {f.setting: f.wanted for f in mine if f.setting != "partitions"}
        wanted |= {k: v for k, v in topic_settings(compact=topic.compact).items() if k in wanted}
        if wanted:
            changed = ",".join(f"{setting}={value}" for setting, value in wanted.items())
            commands.append(
                f"kafka-configs {start} --alter --entity-type topics --entity-name {name} "
                f"--add-config {changed}"
            )
        commands += [
            f"kafka-topics {start} --alter --topic {name} --partitions {fault.wanted}"
            for fault in mine
            if fault.setting == "partitions" and int(fault.wanted) > count
        ]
    return commands


def _partition_faults(states: Sequence[TopicState]) -> Iterator[Fault]:
    counts = {state.topic.name: state.partitions for state in states}
    for topic, count, _ in states:
        if not topic.partitioned and count > 1:
            why = "its order is that of one partition; delete it, and have it made anew"
            yield Fault(topic.name, "partitions", str(count), "1", why)
    if DECISIONS in counts and OUTCOMES in counts and counts[DECISIONS] != counts[OUTCOMES]:
        fewer, more = sorted((DECISIONS, OUTCOMES), key=lambda name: counts[name])
        why = f"{more} has so many, and the joiner reads both by the same numbers"
        yield Fault(fewer, "partitions", str(counts[fewer]), str(counts[more]), why)


def _setting_faults(topic: Topic, there: Mapping[str, str], keep_ms: int) -> Iterator[Fault]:
    wanted = topic_settings(compact=topic.compact)
    kept = "the last record of each key is kept" if topic.compact else "no record is replaced"
    for setting, why in (
        ("cleanup.policy", f"of this topic {kept}"),
        ("message.timestamp.type", "producers' clocks would tell what is late"),
    ):
        if setting in there and there[setting] != wanted[setting]:
            yield Fault(topic.name, setting, there[setting], wanted[setting], why)
    largest = int(there.get("max.message.bytes", LARGEST_BYTES))
    if largest < LARGEST_BYTES:
        why = "a larger message is refused"
        yield Fault(topic.name, "max.message.bytes", str(largest), str(LARGEST_BYTES), why)
    if topic.compact:
        yield from _compaction_faults(topic, there)
    elif topic.name != DEAD_LETTER and "delete" in there.get("cleanup.policy", ""):
        yield from _retention_faults(topic, there, keep_ms)


def _compaction_faults(topic: Topic, there: Mapping[str, str]) -> Iterator[Fault]:
    # The active segment is never compacted; a lag has Kafka begin another one in time.
    told = [there[name] for name in ("segment.ms", "max.compaction.lag.ms") if name in there]
    if told and min(map(int, told)) > SLOW_COMPACTION_MS:
        why = "a start reads all that is not compacted"
        lag = there.get("max.compaction.lag.ms", "not set")
        yield Fault(topic.name, "max.compaction.lag.ms", lag, str(COMPACTED_MS), why)


def _retention_faults(topic: Topic, there: Mapping[str, str], keep_ms: int) -> Iterator[Fault]:
    kept_ms = int(there.get("retention.ms", FOREVER))
    if kept_ms >= 0 and topic.name == CATALOGUE:
        why = "it is the only place of placements and creatives"
        yield Fault(topic.name, "retention.ms", str(kept_ms), FOREVER, why)
    elif 0 <= kept_ms <= keep_ms:
        why = f"the longest window and its grace take {keep_ms}; {FOREVER} keeps all"
        yield Fault(topic.name, "retention.ms", str(kept_ms), FOREVER, why)
    kept_bytes = there.get("retention.bytes", FOREVER)
    if kept_bytes != FOREVER:
        why = "a size does not say how long records are kept"
        yield Fault(topic.name, "retention.bytes", kept_bytes, FOREVER, why)


def _longest_ms(log: Log) -> int:
    """Returns how long after a decision its records may be needed, by the placements' rules."""
    reader = CatalogueReader(log)
    reader.catch_up()
    terms = map(terms_of, reader.catalogue.placements())
    return max((each.longest_ms + each.grace_ms for each in terms), default=0)
