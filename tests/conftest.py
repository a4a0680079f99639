"""What the tests share: the one Kafka broker of a session, and how Hypothesis runs."""

import gc
import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.kafka_broker import Broker, running_broker

# No test asserts a time, and a loaded machine is no failure.
settings.register_profile("copyloop", deadline=None)
settings.load_profile("copyloop")


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[Broker]:
    """Returns a running broker; without Java or Maven this fails, and says what to install."""
    # The client logs tracebacks for as long as a broker is away, and pytest would keep them all.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    with running_broker() as broker:
        yield broker


@pytest.fixture
def collected() -> Iterator[None]:
    """Collects the sockets of refused connections, which Kafka's client leaves to the collector."""
    yield
    gc.collect()
