"""A process that appends to a SQLite log, batch after batch, and says which are acknowledged."""

import itertools
import sys

from streams.logs.base import Message
from streams.logs.sqlite import SqliteLog

BATCH = 3


def batch(name, number):
    return [Message("t", name.encode(), b"%d.%d" % (number, i)) for i in range(BATCH)]


def main(path, name, batches="endless"):
    log = SqliteLog(path)
    log.create_topic("t", partitions=2)
    for number in itertools.count() if batches == "endless" else range(int(batches)):
        log.append(batch(name, number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
