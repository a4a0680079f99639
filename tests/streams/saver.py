"""A process that saves checkpoints, one after the other, and says which are saved."""

import itertools
import sys

from streams.checkpoint import Checkpoints, exclusive
from streams.logs.base import TopicPartition


def main(directory):
    with exclusive(directory, "fold"):
        checkpoints = Checkpoints(directory)
        for number in itertools.count():
            state = b"%d" % number * 50_000
            checkpoints.save("fold", state, {TopicPartition("t", 0): number})
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
