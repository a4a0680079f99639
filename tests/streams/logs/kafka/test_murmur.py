"""Keys hash as in Kafka's own clients, or what others write would not land beside ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner import murmur2 as theirs

from streams.logs.kafka.producer import murmur2

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
