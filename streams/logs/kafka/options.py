"""Kafka's clients: the options that a `kafka://` URL gives them, and how they are opened.

Every option of kafka-python that text can say goes through, typed as the client's default is.
The clients' errors become errors of the log.
"""

from __future__ import annotations

import json
import re
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

import yaml
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka
from kafka.net.compat import KafkaNetClient

from streams.errors import LogError, LogUnavailable, LogUrlError
from streams.files.yaml_text import yaml_value
from streams.logs.cloudevents import SOURCE

CLIENTS: Final = (KafkaAdminClient, KafkaConsumer, KafkaProducer)
DEFAULTS: Final[Mapping[str, object]] = {
    name: default for client in CLIENTS for name, default in client.DEFAULT_CONFIG.items()
}
OURS: Final = frozenset(
    (
        "allow_auto_create_topics",
        "auto_offset_reset",
        "bootstrap_servers",
        "enable_auto_commit",
        "group_id",
        "partition_assignment_strategy",
        "transactional_id",
    )
)
"""Options that the log sets itself, because what it promises rests on them."""

URI_REFERENCE: Final = re.compile(r"(?:[A-Za-z0-9._~:/@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
TRUTH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
READERS: Final[Mapping[str, Callable[[str], object]]] = {
    ".toml": tomllib.loads,
    ".json": json.loads,
    ".yaml": yaml_value,
    ".yml": yaml_value,
}


class KafkaOptions(NamedTuple):
    """How to reach a cluster, and what our topics are called on it."""

    bootstrap: str
    prefix: str = ""
    replication_factor: int = -1
    client: Mapping[str, Any] = {}
    cloudevents: str | None = None


def read_url(url: str) -> KafkaOptions:
    """Returns what `kafka://host:port,host:port?option=value&...` says.

    `prefix` and `replication_factor` are the log's, and so is `cloudevents`: `true`, or what our
    events are to have as their source. `config` names a TOML, JSON or YAML file of further
    options, which is the place for passwords; all others are kafka-python's.

    >>> read_url("kafka://one:9092,two?prefix=ads.&linger_ms=5").client
    {'linger_ms': 5}

    Raises:
        LogUrlError: no host, a login before the host, or an option that cannot be.
    """
    parts = urlsplit(url)
    if not parts.netloc or parts.path.strip("/") or parts.fragment:
        raise LogUrlError("a Kafka log URL is kafka://host:port,host:port?option=value")
    if "@" in parts.netloc:
        raise LogUrlError(
            "a Kafka log URL holds no login before the host; give sasl_plain_username and "
            "sasl_plain_password in a file that ?config=PATH names"
        )
    asked: dict[str, object] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name in asked:
            raise LogUrlError(f"the Kafka option {name!r} is in the log URL twice")
        asked[name] = text
    if "config" in asked:
        asked = read_file(Path(str(asked.pop("config")))) | asked
    cloudevents = _cloudevents(str(asked.pop("cloudevents", False)))
    return KafkaOptions(
        parts.netloc,
        str(asked.pop("prefix", "")),
        _number("replication_factor", asked.pop("replication_factor", -1)),
        {name: typed(name, value) for name, value in asked.items()},
        cloudevents,
    )


def read_file(path: Path) -> dict[str, object]:
    """Returns the options that a TOML, JSON or YAML file holds at its top level.

    Raises:
        LogUrlError: no such file, another format, or no mapping in it.
    """
    read = READERS.get(path.suffix)
    if read is None:
        raise LogUrlError(f"Kafka options in {path}: expected .toml, .json or .yaml")
    try:
        options = read(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        # The parsers' messages quote lines of the file, and so perhaps a password.
        reason = error.strerror if isinstance(error, OSError) else "it cannot be parsed"
        raise LogUrlError(f"Kafka options in {path}: {reason}") from None
    if not isinstance(options, dict):
        raise LogUrlError(f"Kafka options in {path}: expected names and values at the top level")
    return {str(name): value for name, value in options.items()}


def typed(name: str, value: object) -> object:
    """Returns an option's value with the type of the client's default.

    >>> typed("ssl_check_hostname", "false"), typed("api_version", "3.9")
    (False, (3, 9))

    Raises:
        LogUrlError: kafka-python has no such option, the log sets it itself, text cannot say
            it, or the value is none of its type.
    """
    if name in OURS:
        raise LogUrlError(f"the Kafka option {name!r} is set by the log itself; leave it out")
    if name not in DEFAULTS:
        raise LogUrlError(f"kafka-python has no option {name!r}; see its documentation for those")
    if not isinstance(value, str):
        return value
    try:
        return _reader(name)(value)
    except (KeyError, ValueError):
        # The value may be a secret that went astray, so it is not repeated.
        raise LogUrlError(
            f"the Kafka option {name!r} has a value that is no {type(DEFAULTS[name]).__name__}"
        ) from None


def _reader(name: str) -> Callable[[str], Any]:
    default = DEFAULTS[name]
    if name == "api_version":
        return lambda text: tuple(int(part) for part in text.split("."))
    if name == "acks":
        return lambda text: text if text == "all" else int(text)
    if isinstance(default, bool):
        return lambda text: TRUTH[text.lower()]
    if isinstance(default, int | float):
        return type(default)
    if default is None and name.endswith("_bytes"):
        return int
    if default is None or isinstance(default, str):
        return str
    raise LogUrlError(f"text cannot say the Kafka option {name!r}; give it to KafkaLog in Python")


def _cloudevents(text: str) -> str | None:
    """Returns the source that CloudEvents of ours have, None if there are to be none."""
    if text.lower() in TRUTH:
        return SOURCE if TRUTH[text.lower()] else None
    if not URI_REFERENCE.fullmatch(text):
        raise LogUrlError(
            f"cloudevents is {text!r} in the Kafka log URL; true, or the source of our events as "
            "a URI, such as https://shop.example/ads"
        )
    return text.removesuffix("/")


def _number(name: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise LogUrlError(f"{name} is {value!r} in the Kafka log URL; a whole number") from None


T = TypeVar("T")

RETRY_SECONDS: Final = 0.1
CONNECTING_MS: Final = 20
CLIENT_DEFAULTS: Final[dict[str, object]] = {
    "client_id": "copyloop",
    "bootstrap_timeout_ms": 10_000,
    "request_timeout_ms": 10_000,
    # A broker that comes back is found within a second, not within half a minute.
    "reconnect_backoff_max_ms": 1000,
    "metadata_max_age_ms": 60_000,
    # A topic is made by create_topic(), never by a slip of the pen.
    "allow_auto_create_topics": False,
    "isolation_level": "read_committed",
    # Counting costs a tenth of the time of every record; we keep our own metrics.
    "metrics_enabled": False,
}

# Those that are not retriable by name are so for whoever starts over with a new producer.
PASSING: Final = (
    kafka.RetriableError,
    kafka.OutOfOrderSequenceNumberError,
    kafka.UnknownProducerIdError,
    kafka.InvalidProducerEpochError,
    kafka.UnknownBrokerIdError,
    kafka.IllegalStateError,
)
REFUSED: Final = (kafka.AuthorizationError, kafka.SaslAuthenticationFailedError)


class _ProducerConnections(KafkaNetClient):  # type: ignore[misc]  # the client ships no types
    """A producer's connections, which it does not ask for again without a pause."""

    def connection_delay(self, node_id: int) -> float:
        """Returns for how many milliseconds there is no use in asking for the node."""
        # kafka-python 3.0.12 answers in seconds, and 0 for as long as it connects: a producer
        # whose broker hangs would keep a processor busy.
        delay_seconds: float = super().connection_delay(node_id)
        return max(delay_seconds * 1000, CONNECTING_MS)


def open_client(kind: Callable[..., T], bootstrap: str, **options: object) -> T:
    """Returns a client of that kind, with those of the options that it knows.

    Raises:
        LogUnavailable: nobody answered in time.
        LogError: the cluster refused us, or an option is wrong.
    """
    known = kind.DEFAULT_CONFIG  # type: ignore[attr-defined]
    wanted = {name: value for name, value in (CLIENT_DEFAULTS | options).items() if name in known}
    opened: list[Any] = []
    connections = _ProducerConnections if kind is KafkaProducer else KafkaNetClient

    def connect(**settings: object) -> Any:
        opened.append(connections(**settings))
        # The client hands this option on to nobody (kafka-python 3.0.12): a topic that was deleted
        # would be back, with one partition.
        opened[-1].cluster.config["allow_auto_create_topics"] = False
        return opened[-1]

    try:
        with translated(f"Kafka at {bootstrap}"):
            return kind(bootstrap_servers=bootstrap.split(","), kafka_client=connect, **wanted)
    except LogError as error:
        # What failed to start would leave its thread and sockets behind.
        for client in opened:
            client.close()
        if isinstance(error.__cause__, kafka.KafkaTimeoutError):
            # Brokers hang up on a login or protocol that is not theirs, and the client tries on.
            raise LogUnavailable(
                f"no Kafka answered at {bootstrap} in time; see that it runs there, and that "
                "security_protocol and the login are what it wants"
            ) from error
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise LogError(f"the Kafka client refuses its options: {error}") from error


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns the client's errors within the block into ours."""
    try:
        yield
    except REFUSED as error:
        raise LogError(f"{what} refused us; see to its login or its ACLs: {error}") from error
    except PASSING as error:
        raise LogUnavailable(f"{what} cannot be reached; try again: {error}") from error
    except kafka.KafkaError as error:
        raise LogError(f"{what}: {error}") from error


def patiently(what: str, ask: Callable[[], T], *, timeout_ms: float) -> T:
    """Returns what `ask` does, asked again until the timeout where the trouble may pass.

    Raises:
        LogUnavailable: it did not pass in time.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        try:
            with translated(what):
                return ask()
        except LogUnavailable:
            if time.monotonic() > deadline:
                raise
        time.sleep(RETRY_SECONDS)
