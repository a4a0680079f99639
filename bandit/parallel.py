"""Several long jobs at once, one process each, their results as they come.

A replay is pure Python between many small array operations, so only processes make it faster;
and results one by one are what a progress bar needs.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple, TypeAlias, TypeVar

from bandit.errors import BanditError, ReplayError
from streams.errors import StreamsError

T = TypeVar("T")
Job: TypeAlias = Callable[[], Iterator[T]]


class _Value(NamedTuple):
    """A value on its way, told apart from a job's end and its errors."""

    of: Any


def fan_out(jobs: Sequence[Job[T]], processes: int) -> Iterator[tuple[int, T]]:
    """Yields (number of the job, value) for every value of every job.

    The values of one job come in its own order; jobs are interleaved. With one process, or one
    job, all is done in this one.

    Args:
        jobs: each must be picklable where more than one process is used, and so must its values.
        processes: the most that run at once.

    Raises:
        ReplayError: a job in another process failed, with the code of its error; or its process
            ended before the job did. The other jobs are stopped.
    """
    if min(processes, len(jobs)) <= 1:
        for number, job in enumerate(jobs):
            for value in job():
                yield number, value
        return
    waiting = list(enumerate(jobs))[::-1]
    running: dict[Connection, tuple[int, SpawnProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                number, job = waiting.pop()
                connection, process = _start(job)
                running[connection] = (number, process)
            for ready in (c for c in wait(list(running)) if isinstance(c, Connection)):
                number, process = running[ready]
                received = _receive(ready, process)
                if received is None:
                    process.join()
                    ready.close()
                    del running[ready]
                else:
                    yield number, received.of
    finally:
        for connection, (_, process) in running.items():
            process.terminate()
            process.join()
            connection.close()


def _start(job: Job[T]) -> tuple[Connection, SpawnProcess]:
    # spawned, not forked: a fork of a process that has threads may never wake up
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _work(job: Job[T], connection: Connection) -> None:
    """Sends each value of the job in a `_Value`, then None; or its error's code and message."""
    # Ctrl-C reaches the whole terminal; the parent stops this process itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for value in job():
            connection.send(_Value(value))
        connection.send(None)
    except (BanditError, StreamsError) as error:
        connection.send((error.code, str(error)))


def _receive(connection: Connection, process: SpawnProcess) -> _Value | None:
    try:
        received: _Value | tuple[str, str] | None = connection.recv()
    except EOFError:
        process.join()
        raise ReplayError(
            f"a process ended with exit code {process.exitcode} before it was done;"
            " its own words are above, or, at exit code -9, memory ran out: use fewer processes"
        ) from None
    if received is not None and not isinstance(received, _Value):
        code, message = received
        error = ReplayError(message)
        error.code = code
        raise error
    return received
