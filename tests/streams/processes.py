"""Processes that tests kill at work: `python -m tests.streams.processes NAME ARGUMENTS`."""

import itertools
import sys
import threading
from pathlib import Path

from streams.archive.parquet import run_archive
from streams.checkpoint import Checkpoints, exclusive
from streams.join import worker as joiner
from streams.logs.base import Message, TopicPartition
from streams.logs.sqlite import SqliteLog
from streams.process import stop_on_signals

BATCH = 3


def batch(name, number):
    return [Message("t", name.encode(), b"%d.%d" % (number, i)) for i in range(BATCH)]


def say(words):
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def save(directory):
    """Saves checkpoints, one after the other, and says which are saved."""
    with exclusive(directory, "fold"):
        checkpoints = Checkpoints(directory)
        for number in itertools.count():
            state = b"%d" % number * 50_000
            checkpoints.save("fold", state, {TopicPartition("t", 0): number})
            say(number)


def append(path, name, batches="endless"):
    """Appends to a SQLite log, batch after batch, and says which are acknowledged."""
    log = SqliteLog(path)
    log.create_topic("t", partitions=2)
    for number in itertools.count() if batches == "endless" else range(int(batches)):
        log.append(batch(name, number))
        say(number)
    log.close()


def archive(path, directory):
    """Archives a SQLite log in many small files."""
    log = SqliteLog(path)
    say("started")
    run_archive(
        log, Path(directory), stop=threading.Event(), interval_seconds=0.002, rows_per_file=100
    )


def join(path, directory):
    """Joins a SQLite log in small batches."""
    stop = stop_on_signals()
    log = SqliteLog(path)
    say("started")
    # Many checkpoints, so that it is killed between all sorts of things.
    joiner.CHECKPOINT_SHARE = 0.5
    joiner.run_joiner(log, Path(directory), stop=stop, batch=40, checkpoint_seconds=0.02)
    log.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
