"""What was written since checkpoints is read back once for all partitions of a process."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.dead_letters import PARTITION as DEAD_LETTERS
from streams.events import INTERACTIONS
from streams.logs.base import Message, TopicPartition
from streams.logs.embedded import MemoryLog
from streams.read_back import Numbers
from tests.streams.join.joiner_runs import (
    append_all,
    assert_joined,
    history,
    join_all,
    prepare,
    steps,
)

OUTPUTS = [DEAD_LETTERS, *(TopicPartition(INTERACTIONS, n) for n in (0, 1))]


class Counted(MemoryLog):
    """A log that counts how often each partition is read from its start."""

    def __init__(self):
        super().__init__()
        self.starts = Counter()
        self.ends = 0

    def read(self, partition, offset, *, limit=1000):
        self.starts[partition] += not offset
        return super().read(partition, offset, limit=limit)

    def end_offsets(self, partitions):
        self.ends += 1
        return super().end_offsets(partitions)


@pytest.fixture
def joined(tmp_path):
    """A log of two partitions that is joined, by checkpoints in `one`."""
    log = Counted()
    prepare(log)
    append_all(log, history(100))
    join_all(log, tmp_path / "one")
    log.starts.clear()
    return log


def test_a_cold_start_reads_each_output_once_for_all_partitions(joined, tmp_path):
    steps(joined, tmp_path / "two", 5)
    assert [joined.starts[place] for place in OUTPUTS] == [
        min(joined.end_offset(place), 1) for place in OUTPUTS
    ]
    assert_joined(joined)


def test_a_partition_with_nothing_new_needs_no_reading_back(joined, tmp_path):
    steps(joined, tmp_path / "one", 1)
    joined.starts.clear()
    steps(joined, tmp_path / "one", 1)
    assert [joined.starts[place] for place in OUTPUTS] == [0, 0, 0]


def test_ends_are_asked_for_once_for_each_checkpoint(joined, tmp_path):
    steps(joined, tmp_path / "one", 1)
    joined.ends = 0
    steps(joined, tmp_path / "one", 10)
    # The inputs' and the outputs' at the start; at the end one for both partitions.
    assert joined.ends <= 2 + 10 + 1


def test_what_others_wrote_in_our_name_does_not_keep_checkpoints_old(joined, tmp_path):
    strange = b'{"source": 0, "sequence": 1000000000000}'
    joined.append([Message(INTERACTIONS, b"p", strange, partition=0)])
    steps(joined, tmp_path / "two", 10)
    joined.starts.clear()
    steps(joined, tmp_path / "two", 1)
    assert [joined.starts[place] for place in OUTPUTS] == [0, 0, 0]


@given(st.sets(st.integers(-(10**6), 10**15)), st.lists(st.integers(-3000, 3000)))
def test_numbers_are_a_set_that_each_number_is_taken_from_once(added, asked):
    numbers, kept = Numbers(), set(added)
    for number in added:
        numbers.add(number)
    for number in [*asked, *added]:
        assert numbers.take(number) == (number in kept)
        kept.discard(number)
    assert not numbers
