"""Keys hash as in Kafka's own clients, and what the client reads becomes our records."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner import murmur2 as theirs

from streams.logs.base import Record, TopicPartition
from streams.logs.kafka.producer import TIMESTAMP, murmur2, to_records

PLACE = TopicPartition("t", 3)


def read(**fields):
    found = {"offset": 7, "timestamp": 1_000, "key": b"k", "value": b"v", "headers": []}
    (record,) = to_records(PLACE, [SimpleNamespace(**found | fields)])
    return record


def test_a_record_keeps_its_place_and_its_headers():
    headers = [("ce_id", b"1"), ("h", b""), ("h", b"again")]
    assert read(headers=headers) == Record("t", 3, 7, 1_000, b"k", b"v", tuple(headers))


def test_what_others_leave_null_is_empty():
    record = read(key=None, value=None, headers=[("h", None), (TIMESTAMP, None)])
    assert record == Record("t", 3, 7, 1_000, b"", b"", (("h", b""), (TIMESTAMP, b"")))


def test_the_time_that_a_message_brought_along_is_the_records():
    record = read(headers=[("h", b"1"), (TIMESTAMP, b"900 t/3@7")])
    assert (record.timestamp_ms, record.headers) == (900, (("h", b"1"),))


@pytest.mark.parametrize(
    "told", [b"900", b"900 t/3@8", b"900 t/2@7", b"900 u/3@7", b"-1 t/3@7", b"09 t/3@7"]
)
def test_a_time_that_was_copied_from_another_record_is_not_this_ones(told):
    record = read(headers=[(TIMESTAMP, told)])
    assert (record.timestamp_ms, record.headers) == (1_000, ((TIMESTAMP, told),))


def test_a_header_that_only_bears_the_times_name_is_kept():
    headers = [(TIMESTAMP, b"yesterday")]
    assert read(headers=headers) == Record("t", 3, 7, 1_000, b"k", b"v", tuple(headers))


# What org.apache.kafka.common.utils.Utils.murmur2 gives, as its own tests have it.
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "value"), MURMUR2.items())
def test_keys_hash_as_in_java(key, value):
    assert murmur2(key) == value & 0xFFFFFFFF


@given(st.binary(max_size=100))
def test_keys_hash_as_in_kafka_python(key):
    assert murmur2(key) == theirs(key)
