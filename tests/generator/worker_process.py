"""A generator process on a SQLite log that says what it does, to be killed."""

import sys

from generator.worker import run_generator
from streams.logs.sqlite import SqliteLog
from streams.process import log_to_stderr, stop_on_signals


def main(path, directory):
    log_to_stderr("generator")
    stop = stop_on_signals()
    log = SqliteLog(path)
    run_generator(log, directory, model="smollm2", stop=stop)
    log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
