"""A process that archives a SQLite log in many small files."""

import sys
import threading
from pathlib import Path

from streams.archive import run_archive
from streams.logs.sqlite import SqliteLog


def main(path, directory):
    log = SqliteLog(path)
    sys.stdout.write("started\n")
    sys.stdout.flush()
    run_archive(
        log, Path(directory), stop=threading.Event(), interval_seconds=0.002, rows_per_file=100
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
