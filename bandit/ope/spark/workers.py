"""Work on the partitions of a frame: what each worker keeps comes back as bytes, once."""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import pyarrow as pa

from bandit.errors import BanditError, EstimateError
from streams.errors import StreamsError

SCHEMA: Final = "found binary"

Batches = Iterable[pa.RecordBatch]


def open_session(settings: Mapping[str, str] | None = None) -> Any:
    """Returns the session of Spark that there is, or one on this machine's cores.

    `spark-submit` and Spark's own configuration say where it runs.

    Args:
        settings: further ones of Spark, by their names.

    Raises:
        EstimateError: Spark is not installed.
    """
    try:
        from pyspark import SparkConf
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise EstimateError(
            f"Apache Spark is not installed ({error}); pip install 'copyloop[spark]', and Java 17"
        ) from error
    conf = SparkConf().setAll(list((settings or {}).items()))
    # Workers of this machine have what this process has; elsewhere Spark's configuration says.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if not conf.contains("spark.master"):
        conf.setMaster("local[*]").set("spark.ui.enabled", "false")
    return SparkSession.builder.config(conf=conf).appName("copyloop evaluate").getOrCreate()


class Failure(NamedTuple):
    """An error of ours on a worker: its code and its message."""

    code: str
    message: str


def on_partitions(frame: Any, judge: Callable[[int, Batches], Any]) -> list[Any]:
    """Returns what was found in each partition.

    Raises:
        EstimateError: a worker raised an error of ours; with its code.
    """
    with warnings.catch_warnings():
        # Of frames of pandas, which there are none here.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        mapped = frame.mapInArrow(partial(_work, judge), SCHEMA)
    found = []
    for row in mapped.collect():
        # Our own workers wrote that.
        found.append(pickle.loads(row[0]))  # noqa: S301
        if isinstance(found[-1], Failure):
            error = EstimateError(found[-1].message)
            error.code = found[-1].code
            raise error
    if not found:
        raise EstimateError("the log holds no rows; there is nothing to judge policies by")
    return found


def _work(judge: Callable[[int, Batches], Any], batches: Batches) -> Iterator[pa.RecordBatch]:
    from pyspark import TaskContext

    task = TaskContext.get()
    try:
        found = judge(0 if task is None else task.partitionId(), batches)
    except (BanditError, StreamsError) as error:
        found = Failure(error.code, str(error))
    yield pa.record_batch([pa.array([pickle.dumps(found)], pa.binary())], names=["found"])


def short(error: Exception) -> str:
    """Returns the first line of an error of the JVM, which comes with its stack."""
    return str(error).partition("\n")[0]
