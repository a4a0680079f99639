"""KafkaLog on a real broker: what every log promises, and what others do to its topics."""

import time
from uuid import uuid4

import kafka
import pytest

from streams.errors import LogError, TopicError
from streams.logs.base import Message, TopicPartition
from streams.logs.kafka import KafkaLog
from streams.logs.opening import open_log
from tests.kafka_broker import PASSWORD, USER
from tests.streams.logs.log_laws import Follower, LogLaws, poll_until, read_all

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def kafka_log(kafka_broker):
    log = KafkaLog(kafka_broker.bootstrap, prefix="laws.")
    yield log
    log.close()


@pytest.fixture(scope="module")
def admin(kafka_broker):
    client = kafka.KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    yield client
    client.close()


def new_name():
    return f"t-{uuid4().hex[:8]}"


@pytest.fixture
def topic(kafka_log):
    topic = new_name()
    kafka_log.create_topic(topic)
    return topic


class TestKafkaLog(LogLaws):
    @pytest.fixture
    def log(self, kafka_log):
        return kafka_log


def test_what_javas_producer_writes_lands_beside_ours(kafka_broker, kafka_log):
    topic = new_name()
    kafka_log.create_topic(topic, partitions=7)
    keys = [f"event-{n}-{'x' * n}" for n in range(60)]
    written = kafka_log.append([Message(topic, key.encode(), b"ours") for key in keys])
    kafka_broker.java(
        "org.apache.kafka.tools.ConsoleProducer",
        *("--bootstrap-server", kafka_broker.bootstrap, "--topic", f"laws.{topic}"),
        *("--compression-codec", "zstd", "--property", "parse.key=true"),
        stdin="".join(f"{key}\tjava's\n" for key in keys),
    )
    theirs = {r.key.decode(): r.partition for r in read_all(kafka_log, topic) if r.value != b"ours"}
    assert theirs == {key: at.partition for key, at in zip(keys, written, strict=True)}


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_others_may_compress_and_leave_out_keys_and_values(kafka_broker, kafka_log, topic, codec):
    with kafka.KafkaProducer(
        bootstrap_servers=kafka_broker.bootstrap, compression_type=codec
    ) as producer:
        producer.send(f"laws.{topic}", value=b"no key")
        producer.send(f"laws.{topic}", key=b"no value")
    kept = [(r.key, r.value) for r in read_all(kafka_log, topic)]
    assert kept == [(b"", b"no key"), (b"no value", b"")]


def test_open_and_aborted_transactions_are_not_read(kafka_broker, kafka_log, topic):
    partition = TopicPartition(topic, 0)
    with kafka.KafkaProducer(
        bootstrap_servers=kafka_broker.bootstrap, transactional_id=new_name()
    ) as producer:
        producer.init_transactions()
        for value, end in (
            (b"kept", producer.commit_transaction),
            (b"aborted", producer.abort_transaction),
        ):
            producer.begin_transaction()
            producer.send(f"laws.{topic}", value=value).get()
            end()
        producer.begin_transaction()
        producer.send(f"laws.{topic}", value=b"open").get()
        assert [r.value for r in read_all(kafka_log, topic)] == [b"kept"]
        assert kafka_log.read(partition, 1) == []
        producer.abort_transaction()
    (last,) = kafka_log.append([Message(topic, b"", b"last")])
    assert kafka_log.read(partition, 1)[0].offset == last.offset
    consumer = kafka_log.consumer([topic], Follower())
    assert [r.value for r in poll_until(consumer, 2)] == [b"kept", b"last"]
    consumer.close()


def test_reading_crosses_the_gaps_that_compaction_leaves(kafka_log, admin):
    topic = new_name()
    kafka_log.create_topic(topic, compact=True)
    eager = {
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.001",
        "max.compaction.lag.ms": "1",
    }
    resource = kafka.admin.ConfigResource(
        kafka.admin.ConfigResourceType.TOPIC, f"laws.{topic}", eager
    )
    admin.alter_configs([resource])
    partition = TopicPartition(topic, 0)
    deadline = time.monotonic() + 60
    while not (records := kafka_log.read(partition, 0)) or records[0].offset == 0:
        assert time.monotonic() < deadline, "the broker has compacted nothing"
        time.sleep(0.15)
        kafka_log.append([Message(topic, b"%d" % n, b"v") for n in range(20)])
    assert {r.key for r in records} == {b"%d" % n for n in range(20)}
    consumer = kafka_log.consumer([topic], Follower({partition: 0}))
    offsets = []
    while not offsets or offsets[-1] < kafka_log.end_offset(partition) - 1:
        offsets += [r.offset for r in consumer.poll(0.5)]
    consumer.close()
    assert offsets[0] > 0
    assert offsets == sorted(set(offsets))


def test_a_large_append_keeps_its_order(kafka_log):
    topic = new_name()
    kafka_log.create_topic(topic, partitions=2)
    messages = [Message(topic, b"", b"%d:" % n + bytes(30_000), partition=n % 2) for n in range(90)]
    written = kafka_log.append(messages)
    records = {(r.partition, r.offset): r.value for r in read_all(kafka_log, topic)}
    assert [records[at.partition, at.offset] for at in written] == [m.value for m in messages]
    for number in (0, 1):
        of_partition = [at.offset for at in written if at.partition == number]
        assert of_partition == sorted(of_partition)


def test_a_message_too_large_is_refused_and_the_others_are_written(kafka_log, topic):
    kafka_log.append([Message(topic, b"k", bytes(3 << 20))])
    with pytest.raises(LogError, match="max_request_size"):
        kafka_log.append([Message(topic, b"k", b"small"), Message(topic, b"k", bytes(17 << 20))])
    assert [len(r.value) for r in read_all(kafka_log, topic)] == [3 << 20, len(b"small")]


def test_history_keeps_its_times_though_the_broker_gives_its_own(kafka_broker, kafka_log, topic):
    kafka_log.append([Message(topic, b"k", b"then", (("h", b"1"),), timestamp_ms=1_000)])
    (now,) = kafka_log.append([Message(topic, b"k", b"now")])
    late = KafkaLog(kafka_broker.bootstrap, prefix="laws.")
    late.append([Message(topic, b"k", b"older", timestamp_ms=2_000)])
    late.close()
    records = read_all(kafka_log, topic)
    assert [r.timestamp_ms for r in records] == [1_000, now.timestamp_ms, now.timestamp_ms]
    assert records[0].headers == (("h", b"1"),)
    consumer = kafka_log.consumer([topic], Follower())
    assert poll_until(consumer, 3) == records
    consumer.close()


def test_prefixes_keep_logs_on_one_cluster_apart(kafka_broker):
    urls = [f"kafka://{kafka_broker.bootstrap}?prefix={name}." for name in ("one", "two")]
    one, two = (open_log(url) for url in urls)
    topic = new_name()
    one.create_topic(topic)
    with pytest.raises(TopicError):
        two.partitions(topic)
    two.create_topic(topic, partitions=2)
    assert (one.partitions(topic), two.partitions(topic)) == (1, 2)
    one.append([Message(topic, b"k", b"v")])
    assert read_all(two, topic) == []
    one.close()
    two.close()


def test_a_login_is_passed_on_and_a_wrong_one_is_refused(kafka_broker, tmp_path):
    config = tmp_path / "kafka.toml"
    options = 'security_protocol = "SASL_PLAINTEXT"\nsasl_mechanism = "PLAIN"\n'
    config.write_text(
        f'{options}sasl_plain_username = "{USER}"\nsasl_plain_password = "{PASSWORD}"\n'
    )
    url = f"kafka://{kafka_broker.sasl_bootstrap}?prefix=sasl.&config={config}"
    log = open_log(url)
    topic = new_name()
    log.create_topic(topic)
    (at,) = log.append([Message(topic, b"k", b"v")])
    assert log.read(TopicPartition(topic, 0), at.offset)[0].value == b"v"
    consumer = log.consumer([topic], Follower(), group="g")
    assert len(poll_until(consumer, 1)) == 1
    consumer.close()
    log.close()
    with pytest.raises(LogError, match="login") as caught:
        open_log(f"{url}&sasl_plain_password=wrong-secret&bootstrap_timeout_ms=1500")
    assert kafka_broker.sasl_bootstrap in str(caught.value)
    assert "wrong-secret" not in str(caught.value)


def test_a_closed_log_says_so(kafka_broker):
    log = KafkaLog(kafka_broker.bootstrap, prefix="laws.")
    topic = new_name()
    log.create_topic(topic)
    log.append([Message(topic, b"k", b"v")])
    log.close()
    log.close()
    for ask in (
        lambda: log.append([Message(topic, b"k", b"v")]),
        lambda: log.read(TopicPartition(topic, 0), 0),
        lambda: log.partitions(topic),
    ):
        with pytest.raises(LogError, match="closed"):
            ask()
