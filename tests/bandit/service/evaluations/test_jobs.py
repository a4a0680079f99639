"""Jobs by themselves: what becomes of one that nobody wants any more."""

import asyncio
import threading

import numpy as np
import uvloop

from bandit.service.evaluations.jobs import Job, Jobs
from bandit.service.settings import Settings


def job(name):
    return Job(
        id=name,
        kind="evaluations",
        placement="home",
        name=name,
        start_ms=0,
        end_ms=1,
        created_ms=0,
    )


def jobs_in(folder):
    return Jobs(Settings(data=folder, log=f"sqlite:///{folder / 'log.db'}"))


def test_a_job_that_was_deleted_before_its_turn_is_not_begun(tmp_path, caplog):
    async def submit_and_delete():
        jobs = jobs_in(tmp_path)
        jobs.submit(job("j"))
        jobs.delete("evaluations", "home", "j")
        await asyncio.gather(*jobs._running)
        return jobs.all("evaluations", "home")

    assert asyncio.run(submit_and_delete()) == []
    # a process that looked for it in vain would be told of here
    assert caplog.records == []


def test_a_job_is_begun_while_another_thread_computes(tmp_path):
    """A fork would wait for ever for OpenBLAS's threads, which wait for the one that forks."""
    done, matrix = threading.Event(), np.ones((400, 400), dtype=np.float32)

    def compute():
        while not done.is_set():
            np.dot(matrix, matrix)

    async def spawn():
        jobs = jobs_in(tmp_path)
        for number in range(40):
            # no such placement: each process comes to its end at once
            task = asyncio.create_task(jobs._work(tmp_path / f"{number}.json"))
            await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return True

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        assert uvloop.run(spawn())
    finally:
        done.set()
        thread.join()
