import fcntl
import threading
import time
from functools import partial

import pytest

from streams.errors import LogUnavailable
from streams.logs.sqlite_file import FairLock, flocked
from tests.streams.logs.log_laws import in_threads


def test_one_holds_it_at_a_time(tmp_path):
    held = []
    overlaps = []

    def work(lock, name):
        for _ in range(50):
            with lock.held():
                held.append(name)
                overlaps.extend(held[1:])
                held.remove(name)

    locks = [FairLock(tmp_path / "log.db", patience_seconds=30.0) for _ in range(2)]
    in_threads(*(partial(work, lock, name) for name, lock in enumerate([*locks, locks[0]])))
    for lock in locks:
        lock.close()
    assert overlaps == []


def test_who_waits_too_long_is_told_and_leaves_the_queue(tmp_path):
    path = tmp_path / "log.db"
    holder, other = (FairLock(path, patience_seconds=0.05) for _ in range(2))
    with holder.held():
        for _ in range(2):
            with pytest.raises(LogUnavailable), other.held():
                pass
    with other.held():
        pass
    holder.close()
    other.close()


def test_who_waits_is_next(tmp_path):
    path = tmp_path / "log.db"
    first, second = (FairLock(path, patience_seconds=30.0) for _ in range(2))
    order = []

    def wait():
        with second.held():
            order.append("waiter")

    waiter = threading.Thread(target=wait)
    with first.held(), open(f"{path}-queue") as queue:
        waiter.start()
        while is_free(queue):
            time.sleep(0.001)
    with first.held():
        order.append("first again")
    waiter.join()
    assert order == ["waiter", "first again"]
    first.close()
    second.close()


def is_free(file):
    free = flocked(file.fileno(), deadline=0.0, retry_seconds=0.0)
    if free:
        fcntl.flock(file, fcntl.LOCK_UN)
    return free
