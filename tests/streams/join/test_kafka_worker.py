"""The joiner over Kafka: what it writes is what the pure join makes of the log."""

import gc
import time
from uuid import uuid4

import pytest

from streams.events import INTERACTIONS
from streams.logs.base import TopicPartition
from streams.logs.kafka import KafkaLog
from tests.streams.join.joiner_runs import (
    append_all,
    assert_joined,
    expected,
    has_come_out,
    history,
    joining,
    prepare,
    wait_until,
)

pytestmark = [
    pytest.mark.kafka,
    # The client leaves the sockets of refused connections to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture
def log(kafka_broker):
    log = KafkaLog(kafka_broker.bootstrap, prefix=f"joiner-{uuid4().hex[:8]}.")
    prepare(log)
    yield log
    log.close()
    gc.collect()


def test_the_broker_crashes_while_it_is_joined_and_nothing_is_lost_or_doubled(
    kafka_broker, log, tmp_path
):
    append_all(log, history(600))
    wanted = expected(log)
    ends = [TopicPartition(INTERACTIONS, n) for n in (0, 1)]
    with joining(log, tmp_path / "checkpoints", batch=50, checkpoint_seconds=0.1) as future:
        wait_until(lambda: any(map(log.end_offset, ends)), future)
        kafka_broker.kill()
        kafka_broker.start()
        assert not has_come_out(log, *wanted), "it was over before the crash"
        wait_until(lambda: has_come_out(log, *wanted), future)
    assert_joined(log)
    with joining(log, tmp_path / "checkpoints") as future:
        time.sleep(1.0)
    assert future.result().interactions == 0
    assert_joined(log)
