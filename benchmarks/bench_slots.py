"""What filling three slots in one request costs the server, against three requests.

Processor time of the API's process, durable log included, over the same keep-alive connections;
the log's bytes too, since every slot's decision carries the actions that were left for it.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from statistics import median
from typing import Any

from bandit.client import Client
from benchmarks.bench_rank import BODY, CONNECTIONS, CONTEXT, Running, api, ask_all, cpu_us
from streams.events import DECISIONS
from streams.logs.base import TopicPartition
from streams.logs.sqlite import SqliteLog

ROUNDS = 5
SLOTS = [{"id": name, "features": {"wide": name == "top"}} for name in ("top", "side", "foot")]
SLOTS_BODY = json.dumps({"context": CONTEXT, "slots": SLOTS}).encode()


def test_cpu_of_three_slots(benchmark: Any, tmp_path: Path) -> None:
    """Ten live creatives, five context features, sixteen connections."""
    log = f"sqlite:///{tmp_path / 'log.db'}"
    one: list[float] = []
    three: list[float] = []
    with api(tmp_path, log) as server:
        asyncio.run(ask_all(server))
        asyncio.run(ask_all(server, SLOTS_BODY))

        def one_round() -> None:
            one.append(cpu_us(server))
            three.append(cpu_us(server, SLOTS_BODY))

        benchmark.pedantic(one_round, rounds=ROUNDS)
        in_one, in_three = _bytes_of(server, tmp_path)
    benchmark.extra_info.update(
        cpu_us_one_rank=median(one),
        cpu_us_three_slots=median(three),
        ratio_to_three_ranks=median(three) / (3 * median(one)),
        bytes_ratio_to_three_ranks=in_three / (3 * in_one),
        connections=CONNECTIONS,
    )


def _bytes_of(server: Running, data: Path) -> tuple[int, int]:
    """Returns what one rank, and one of three slots, adds to the log's values."""
    client = Client(f"http://{server.host}:{server.port}")
    log = SqliteLog(data / "log.db")
    partitions = [TopicPartition(DECISIONS, n) for n in range(log.partitions(DECISIONS))]
    sizes = []
    for body in (BODY, SLOTS_BODY):
        ends = [(partition, log.end_offset(partition)) for partition in partitions]
        client.request("POST", "/v1/placements/bench/rank", json.loads(body))
        records = [record for partition, end in ends for record in log.read(partition, end)]
        sizes.append(sum(len(record.value) for record in records))
    log.close()
    client.close()
    return sizes[0], sizes[1]
