"""How a group's members share partitions: by range, and alike in topics that are co-partitioned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka.coordinator.assignors.range import RangePartitionAssignor

from streams.events import DECISIONS, OUTCOMES


def assignor_for(topics: Sequence[str]) -> type[Any]:
    """Returns how these topics are shared out."""
    assignor: type[Any] = RangePartitionAssignor
    return CoPartitionedAssignor if set(topics) == {DECISIONS, OUTCOMES} else assignor


class CoPartitionedAssignor(RangePartitionAssignor):  # type: ignore[misc]  # the client has no types
    """Gives the same partition numbers of all topics to the same member.

    Partitions are added to one topic at a time. Those that only one topic has wait for the other's,
    since by range alone they would part the sides of older partitions.
    """

    @classmethod
    def assign(cls, cluster: Any, members: Any) -> Any:
        """Returns what each member holds."""
        topics = {topic for member in members for topic in member.metadata.topics}
        return super().assign(_CommonPartitions(cluster, topics), members)


class _CommonPartitions:
    """The cluster, as if each topic had only the partitions that all have."""

    def __init__(self, cluster: Any, topics: set[str]) -> None:
        self._cluster = cluster
        self._common = set.intersection(
            *(set(cluster.partitions_for_topic(topic) or ()) for topic in topics)
        )

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return self._common if self._cluster.partitions_for_topic(topic) is not None else None
