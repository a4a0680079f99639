import os
import random
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.checkpoint import Checkpoints, exclusive, file_name, read_checkpoint
from streams.errors import CheckpointError, LockError
from streams.logs.base import TopicPartition

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
offsets = st.dictionaries(
    st.builds(TopicPartition, st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 9)),
    st.integers(0, 2**62),
)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture
def saver(start, directory):
    saver = start("save", directory)
    assert saver.stdout.readline() == "0\n"
    return saver


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=names, state=st.binary(), offsets=offsets)
def test_what_was_saved_is_loaded(directory, name, state, offsets):
    Checkpoints(directory).save(name, state, offsets)
    assert Checkpoints(directory).load(name) == (state, offsets)


def test_what_was_never_saved_is_none(directory):
    assert Checkpoints(directory).load("fold") is None


def test_the_last_one_saved_counts_and_names_are_kept_apart(directory):
    checkpoints = Checkpoints(directory)
    for state in (b"1", b"2"):
        checkpoints.save("fold", state, {})
    checkpoints.save("fold/other", b"3", {})
    checkpoints.save("f" * 300, b"4", {})
    checkpoints.save("f" * 301, b"5", {})
    loaded = [checkpoints.load(n).state for n in ("fold", "fold/other", "f" * 300, "f" * 301)]
    assert loaded == [b"2", b"3", b"4", b"5"]


@given(st.lists(names, unique=True, max_size=5))
def test_every_name_has_a_file_of_its_own(names):
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(files)
    assert all(len(file) < 200 and "/" not in file for file in files)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damage_is_noticed_and_put_aside(directory, data):
    checkpoints = Checkpoints(directory)
    checkpoints.save("fold", b"some state", {TopicPartition("t", 0): 5})
    file = directory / "fold.checkpoint"
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    damaged = data.draw(st.sampled_from([whole[:at], whole[:at] + changed + whole[at + 1 :]]))
    file.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"fold\.checkpoint"):
        read_checkpoint(file)
    assert checkpoints.load("fold") is None
    assert (directory / "fold.checkpoint.damaged").read_bytes() == damaged
    checkpoints.save("fold", b"new", {})
    assert checkpoints.load("fold").state == b"new"


def test_the_checkpoint_of_another_name_is_put_aside(directory, caplog):
    checkpoints = Checkpoints(directory)
    checkpoints.save("theirs", b"", {})
    (directory / "theirs.checkpoint").rename(directory / "ours.checkpoint")
    assert checkpoints.load("ours") is None
    assert "ours.checkpoint is the checkpoint of 'theirs'" in caplog.text
    assert "ours.checkpoint.damaged" in caplog.text


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_and_a_kill_9_meet_whole_checkpoints_only(saver, directory, seed):
    numbers = []
    until = time.monotonic() + random.Random(seed).uniform(0.01, 0.1)
    while time.monotonic() < until:
        numbers.append(number_of(Checkpoints(directory).load("fold")))
    saver.kill()
    lines = saver.communicate()[0].split("\n")
    saved = int(["0", *lines[:-1]][-1])
    assert numbers == sorted(numbers)
    assert number_of(Checkpoints(directory).load("fold")) in (saved, saved + 1)


def number_of(checkpoint):
    number = checkpoint.offsets[TopicPartition("t", 0)]
    assert checkpoint.state == b"%d" % number * 50_000
    return number


def test_one_process_at_a_time_holds_a_name_and_a_killed_one_lets_go(saver, directory):
    with pytest.raises(LockError, match=f"process {saver.pid}"), exclusive(directory, "fold"):
        pass
    with exclusive(directory, "other"):
        pass
    saver.kill()
    saver.communicate()
    with exclusive(directory, "fold"):
        assert (directory / "fold.lock").read_text() == str(os.getpid())


def test_whoever_has_patience_gets_a_name_when_it_is_let_go_of(saver, directory):
    threading.Timer(0.2, saver.kill).start()
    with exclusive(directory, "fold", patience_seconds=30.0):
        assert saver.wait() < 0


def test_a_name_is_free_again_after_the_block(directory):
    with pytest.raises(ZeroDivisionError), exclusive(directory, "fold"):
        1 / 0  # noqa: B018
    with (
        exclusive(directory, "fold"),
        pytest.raises(LockError),
        exclusive(directory, "fold"),
    ):
        pass
