"""How topics are set up on Kafka, for the log that makes them and whoever checks them."""

from __future__ import annotations

from typing import Final

LARGEST_BYTES: Final = 16 << 20
"""A policy's snapshot is one message."""
COMPACTED_MS: Final = 60_000
"""After so long Kafka ends a segment of a compact topic, and drops what was replaced in it.

Kafka does not compact the segment that it writes, and by default goes on with that for a week.
"""


def topic_settings(*, compact: bool) -> dict[str, str]:
    """Returns the settings that a topic is made with.

    The log is the only truth, so how long records are kept is for whoever runs it to decide.
    """
    settings = {
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(LARGEST_BYTES),
        "cleanup.policy": "compact" if compact else "delete",
    }
    return settings | ({"max.compaction.lag.ms": str(COMPACTED_MS)} if compact else {})
