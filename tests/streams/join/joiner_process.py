"""A process that joins a SQLite log in small batches, and says when it has begun."""

import sys
from pathlib import Path

from streams.join import worker as joiner
from streams.logs.sqlite import SqliteLog
from streams.process import stop_on_signals


def main(path, directory):
    stop = stop_on_signals()
    log = SqliteLog(path)
    sys.stdout.write("joining\n")
    sys.stdout.flush()
    # Many checkpoints, so that it is killed between all sorts of things.
    joiner.CHECKPOINT_SHARE = 0.5
    joiner.run_joiner(log, Path(directory), stop=stop, batch=40, checkpoint_seconds=0.02)
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
