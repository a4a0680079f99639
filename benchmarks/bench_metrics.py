"""What do a process's metrics cost while it works, per record and per interaction?

The baseline of a log that counts is the same log bare, SQLite with records of 1 kB; that of the
join's latency is what the Prometheus client's own histogram takes. Cost is CPU time of this
process. Nothing is scraped meanwhile: an answer costs what it costs when it is asked for.
"""

import random
import time

from prometheus_client import CollectorRegistry, Histogram

from streams.join.counts import BOUNDS_MS, JoinLatency
from streams.logs.base import Message
from streams.logs.sqlite import SqliteLog
from streams.logs.wrappers import MeteredLog
from tests.streams.logs.log_laws import Follower

SEED = 7
RECORDS = 40_000
GROUP = 1000
BATCH = 5000
VALUE_BYTES = 1000
ROUNDS = 9


def cpu_seconds(function, *arguments):
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started


def compare(benchmark, ours, bare, n):
    """Runs the two in turns; returns the least CPU-seconds of each for one of n."""
    costs = {ours: [], bare: []}

    def both():
        for work, found in costs.items():
            found.append(cpu_seconds(work) / n)

    benchmark.pedantic(both, rounds=ROUNDS, warmup_rounds=1)
    return min(costs[ours]), min(costs[bare])


def report(benchmark, metered, bare):
    benchmark.extra_info.update(
        metered_us_per_record=metered * 1e6,
        bare_us_per_record=bare * 1e6,
        times_the_bare_log=metered / bare,
    )


def messages():
    value = random.Random(SEED).randbytes(VALUE_BYTES)
    return [Message("t", b"event-%08d" % n, value) for n in range(RECORDS)]


def consume(log):
    consumer = log.consumer(["t"], Follower())
    read = 0
    while read < RECORDS:
        read += len(consumer.poll(5.0, limit=BATCH))
    consumer.close()


def test_consume(benchmark, tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    log.create_topic("t", partitions=4)
    log.append(messages())
    metered = MeteredLog(log)
    report(benchmark, *compare(benchmark, lambda: consume(metered), lambda: consume(log), RECORDS))
    log.close()


def append_all(log, sent):
    for start in range(0, len(sent), GROUP):
        log.append(sent[start : start + GROUP])


def test_append(benchmark, tmp_path):
    log, sent = SqliteLog(tmp_path / "log.db"), messages()
    log.create_topic("t", partitions=4)
    metered = MeteredLog(log)
    costs = compare(
        benchmark, lambda: append_all(metered, sent), lambda: append_all(log, sent), RECORDS
    )
    report(benchmark, *costs)
    log.close()


def test_latency(benchmark):
    rng = random.Random(SEED)
    due = [rng.randrange(100_000) for _ in range(RECORDS)]
    latency = JoinLatency()
    bounds = [bound_ms / 1000 for bound_ms in BOUNDS_MS]
    client = Histogram("latency", "", buckets=bounds, registry=CollectorRegistry())

    def by_hand():
        for at_ms in due:
            latency.due("closed", at_ms)
        latency.written(100_000)

    def by_client():
        for at_ms in due:
            client.observe((100_000 - at_ms) / 1000)

    ours, theirs = compare(benchmark, by_hand, by_client, RECORDS)
    benchmark.extra_info.update(
        us_per_interaction=ours * 1e6,
        client_us_per_interaction=theirs * 1e6,
        share_of_the_client=ours / theirs,
    )
