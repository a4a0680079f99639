"""The errors of `streams`.

    StreamsError
    ├── EventError              an event that cannot be read or must not be written
    │   ├── SchemaError             not JSON, or not one of our events
    │   ├── SchemaVersionError      written by a newer copyloop
    │   ├── EventTooLarge           more bytes than anything follows from
    │   └── UnmappedError           a record that a mapping makes no outcome of
    ├── LogError                the log cannot do what was asked
    │   ├── LogUrlError             a log URL that names no log
    │   ├── TopicError              an unknown topic or partition
    │   ├── LogLost                 a log lacks what it had
    │   ├── MessagesRefused         some messages of an append; the others are written
    │   ├── MessageTooLarge         one of them is larger than the log takes
    │   ├── MessageDenied           one is for a topic that we may not write; retriable
    │   ├── MessageInvalid          one is refused for anything else that it is
    │   └── LogUnavailable          busy or gone for now; retriable
    │       └── LogMoved                its file is not where it was opened
    ├── ChangeRefused           a change of the catalogue that was not made; its code says why
    ├── CheckpointError         a checkpoint that is damaged or not ours
    ├── ArchiveError            an archive that cannot be read or restored
    ├── BackupError             a backup that cannot be made, is damaged, or has no place to go
    ├── DeadLetterError         no such dead letter, or none that can be replayed
    ├── MappingError            a mapping that cannot be
    ├── SpoolError              a spool whose disk fails
    │   ├── SpoolDamaged            what lies there cannot be read
    │   └── SpoolFull               it has no room now; retriable
    ├── ListenError             an address that cannot be listened on
    └── LockError               another process already holds this work

Every error has a stable `code`, which callers, dead letters and metrics carry,
and `retriable`, which says whether the same call may work later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class StreamsError(Exception):
    """The base of everything that `streams` raises on purpose."""

    code = "streams_error"
    retriable = False


class EventError(StreamsError):
    """An event that cannot be read or must not be written."""

    code = "event_invalid"


class SchemaError(EventError):
    """Bytes that are not JSON, or JSON that is not the event it should be."""

    code = "schema_error"


class SchemaVersionError(EventError):
    """An event of a schema version that this copyloop does not know."""

    code = "schema_version_unknown"


class EventTooLarge(EventError):
    """An event of so many bytes that what follows from it could not be written."""

    code = "too_large"


class UnmappedError(EventError):
    """A record that a mapping cannot make an outcome of.

    The code says why: `mapping_not_json`, `mapping_field_missing`, `mapping_field_invalid`,
    `mapping_kind_unknown` or `mapping_schema`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class LogError(StreamsError):
    """The log cannot do what was asked of it."""

    code = "log_error"


class LogUrlError(LogError):
    """A log URL that names no log that we can open."""

    code = "log_url_invalid"


class TopicError(LogError):
    """A topic or a partition that the log does not have."""

    code = "topic_unknown"


class LogUnavailable(LogError):
    """The log is busy or out of reach; the same call may work later."""

    code = "log_unavailable"
    retriable = True


class LogMoved(LogUnavailable):
    """The log's file was moved, deleted or replaced while it was open: appends would be lost."""

    code = "log_moved"


class LogLost(LogError):
    """The log's file or topic is gone, was made anew, or has fewer records than the log had."""

    code = "log_lost"


class MessageTooLarge(LogError):
    """A message is larger than the log, or its topic, takes."""

    code = "message_too_large"


class MessageDenied(LogError):
    """The log's access rules keep us from writing a message; they may be changed."""

    code = "append_denied"
    retriable = True


class MessageInvalid(LogError):
    """The log refuses a message for what it is, such as its time or a missing key."""

    code = "message_invalid"


class MessagesRefused(LogError):
    """Some messages of an append were refused, each for what it is; the others are written.

    Args:
        refused: why, by position among the messages.
        written: where the others are, a `TopicOffset` by position.

    The code is that of the first that was refused.
    """

    def __init__(self, refused: Mapping[int, LogError], written: Mapping[int, Any]) -> None:
        first = refused[min(refused)]
        more = f" (and {len(refused) - 1} others)" if len(refused) > 1 else ""
        super().__init__(f"{first}{more}")
        self.refused = refused
        self.written = written
        self.code = first.code
        self.retriable = all(error.retriable for error in refused.values())


class ChangeRefused(StreamsError):
    """A change of the catalogue that was not made, so that nothing is overwritten.

    `code` is `precondition_failed`: somebody else changed it meanwhile; `idempotency_key_reused`,
    `catalogue_behind` or `contended`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.retriable = code in ("catalogue_behind", "contended")


class CheckpointError(StreamsError):
    """A checkpoint that is damaged, or that something else wrote."""

    code = "checkpoint_invalid"


class ArchiveError(StreamsError):
    """An archive that is damaged or missing, or a log that it cannot be restored into."""

    code = "archive_invalid"


class BackupError(StreamsError):
    """A backup that cannot be made, that is damaged, or that would replace something."""

    code = "backup_invalid"


class DeadLetterError(StreamsError):
    """A dead letter that is not there, or that cannot be sent again."""

    code = "dead_letter_invalid"


class MappingError(StreamsError):
    """A mapping that no record could be mapped by; its file, or its field, is wrong."""

    code = "mapping_invalid"


class SpoolError(StreamsError):
    """A spool that cannot be written: its disk fails."""

    code = "spool_failed"


class SpoolDamaged(SpoolError):
    """What lies in a spool was damaged, and cannot be forwarded as it is."""

    code = "spool_damaged"


class SpoolFull(SpoolError):
    """A spool has no room until some of what it holds was forwarded."""

    code = "spool_full"
    retriable = True


class ListenError(StreamsError):
    """An address that cannot be listened on: its port is taken, or it is not this machine's."""

    code = "listen_failed"


class LockError(StreamsError):
    """Another process already does this work on this data."""

    code = "already_running"
