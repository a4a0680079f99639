"""What a record costs in the SQLite log, against the bare inserts that it comes down to.

The baseline writes the same rows into one table of SQLite's, with the same settings, a synced
transaction a group. Cost is CPU time of this process, per record of 1.4 kB.
"""

import itertools
import random
import time

import numpy as np
import pytest

from streams.logs.base import Message, TopicPartition
from streams.logs.sqlite import SqliteLog
from streams.logs.sqlite_file import PAGE_BYTES, connect

SEED = 7
VALUE_BYTES = 1400
ROUNDS = 7
RECORDS_PER_ROUND = 2000


def messages(count):
    value = random.Random(SEED).randbytes(VALUE_BYTES)
    return [Message("t", b"event-%d" % n, value) for n in range(count)]


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    log.create_topic("t")
    yield log
    log.close()


@pytest.fixture
def bare(tmp_path):
    database = connect(tmp_path / "bare.db", 1.0)
    database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, ms INTEGER, key BLOB, value BLOB)")
    yield database
    database.close()


@pytest.mark.parametrize("group", [1, 10, 100, 1000])
def test_append(benchmark, log, bare, group):
    batch = messages(group)
    groups = max(RECORDS_PER_ROUND // group, 1)
    ids = itertools.count()
    latencies_ms = []

    def append():
        for _ in range(groups):
            started = time.perf_counter()
            log.append(batch)
            latencies_ms.append((time.perf_counter() - started) * 1e3)

    def insert():
        for _ in range(groups):
            bare.execute("BEGIN IMMEDIATE")
            rows = [(next(ids), 0, m.key, m.value) for m in batch]
            bare.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)
            bare.execute("COMMIT")

    compare(benchmark, append, insert, records=groups * group)
    p50, p99 = np.percentile(latencies_ms, [50, 99])
    benchmark.extra_info.update(append_p50_ms=float(p50), append_p99_ms=float(p99))


def test_read(benchmark, log, bare):
    batch = messages(1000)
    log.append(batch)
    rows = [(n, 0, m.key, m.value) for n, m in enumerate(batch)]
    bare.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", rows)

    def read():
        return log.read(TopicPartition("t", 0), 0)

    def select():
        query = "SELECT id, ms, key, value FROM t WHERE id >= 0 ORDER BY id LIMIT 1000"
        return bare.execute(query).fetchall()

    assert [r.value for r in read()] == [row[3] for row in select()]
    compare(benchmark, read, select, records=1000)


def compare(benchmark, ours, baseline, *, records):
    """Measures the two in turns, so that what else the machine does falls on both."""
    costs = {ours: [], baseline: []}

    def run(work):
        started = time.process_time()
        work()
        costs[work].append((time.process_time() - started) / records)

    # What is to be set up before each round is the baseline; the benchmark does not time it.
    benchmark.pedantic(lambda: run(ours), setup=lambda: run(baseline), rounds=ROUNDS)
    cost, bare_cost = (float(np.median(costs[work])) for work in (ours, baseline))
    benchmark.extra_info.update(
        cpu_us_per_record=cost * 1e6,
        bare_cpu_us_per_record=bare_cost * 1e6,
        ratio_to_bare=cost / bare_cost,
    )
