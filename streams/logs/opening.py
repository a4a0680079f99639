"""Opens the log that a URL names, and imports only the implementation that this takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streams.errors import LogUrlError
from streams.logs.base import Log

if TYPE_CHECKING:
    from streams.logs.kafka.options import KafkaOptions

_SECRET: Final = re.compile(
    r"([?&][^=&]*(?:password|secret|token|proxy)[^=&]*=)[^&]*|(://)[^?]*(?=@)", re.IGNORECASE
)


def open_log(url: str) -> Log:
    """Returns the log that the URL names.

    `memory://` lives in this process alone; `sqlite:///PATH` is one file for the processes of
    one machine (`sqlite:////abs/path` is absolute); `kafka://host:port,host:port?option=value`
    is a cluster for many, with any option of kafka-python, a `prefix` for the names of topics
    and groups, `cloudevents` to have our events be such, and a `config` file for what nobody
    else should see.

    Raises:
        LogUrlError: no log goes by that URL.
        LogError: the log is there, but cannot be opened.
        LogUnavailable: the log cannot be reached.
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "memory":
        from streams.logs.embedded import MemoryLog

        return MemoryLog()
    if scheme == "sqlite" and separator and rest.startswith("/") and len(rest) > 1:
        from streams.logs.sqlite import SqliteLog

        return SqliteLog(rest[1:])
    if scheme == "kafka":
        options = kafka_options(url)
        from streams.logs.kafka import KafkaLog

        return KafkaLog(
            options.bootstrap,
            prefix=options.prefix,
            replication_factor=options.replication_factor,
            cloudevents=options.cloudevents,
            **options.client,
        )
    raise LogUrlError(
        f"log URL {redacted(url)!r}: expected memory://, sqlite:///path/to/file.db or "
        "kafka://host:port"
    )


def kafka_options(url: str) -> KafkaOptions:
    """Returns what a `kafka://` URL says.

    Raises:
        LogUrlError: it says what cannot be, or there is no Kafka client.
    """
    try:
        from streams.logs.kafka.options import read_url
    except ImportError as error:
        raise LogUrlError(f"no Kafka client ({error}); pip install 'copyloop[kafka]'") from error
    return read_url(url)


def sqlite_path(url: str) -> Path | None:
    """Returns the file of a SQLite log's URL; None for other logs.

    >>> str(sqlite_path("sqlite:///data/log.db"))
    'data/log.db'
    """
    path = url.removeprefix("sqlite:///")
    return None if path == url else Path(path)


def log_exists(url: str) -> bool:
    """Returns whether opening the log would make no new one, be it that its file was lost."""
    path = sqlite_path(url)
    if path is None or path.exists():
        return True
    from streams.logs.sqlite_file import noted_records

    return noted_records(path) > 0


def redacted(url: str) -> str:
    """Returns a log's URL as it may be shown: without what could be a secret.

    >>> redacted("kafka://h:9092?sasl_plain_username=ads&sasl_plain_password=x&linger_ms=5")
    'kafka://h:9092?sasl_plain_username=ads&sasl_plain_password=***&linger_ms=5'
    """
    return _SECRET.sub(lambda secret: f"{secret[1] or secret[2]}***", url)
