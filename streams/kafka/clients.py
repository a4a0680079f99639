"""How kafka-python's clients are opened, and what their errors mean here.

The clients wait long and say little by default; here every wait has an end, and every error is
either `LogUnavailable`, for what may pass, or a `LogError` that says what to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from kafka import KafkaProducer
from kafka import errors as kafka
from kafka.net.compat import KafkaNetClient

from streams.errors import LogError, LogUnavailable

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
