"""The errors of `streams`.

    StreamsError
    ├── EventError              an event that cannot be read or must not be written
    │   ├── SchemaError             not JSON, or not one of our events
    │   ├── SchemaVersionError      written by a newer copyloop
    │   └── UnmappedError           a record that a mapping makes no outcome of
    ├── LogError                the log cannot do what was asked
    │   ├── LogUrlError             a log URL that names no log
    │   ├── TopicError              an unknown topic or partition
    │   ├── LogLost                 a log's file lacks what the log had
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
    """The log's file is gone, or has fewer records than the log had."""

    code = "log_lost"


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
