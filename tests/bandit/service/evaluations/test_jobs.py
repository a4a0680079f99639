"""Jobs by themselves: what becomes of one that nobody wants any more."""

import asyncio
import threading

import numpy as np
import pytest
import uvloop
from msgspec.structs import replace

from bandit.service.evaluations.jobs import Job, Jobs, load, save
from bandit.service.evaluations.work import run
from bandit.service.settings import Settings
from streams.checkpoint import exclusive, file_name
from streams.logs.embedded import MemoryLog


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


@pytest.fixture
def done(monkeypatch):
    """The paths of jobs that were done, by a process that needs no log."""
    found = []

    async def work(self, path):
        found.append(path.stem)
        save(path, replace(load(path), status="Succeeded"))
        return 0, b""

    monkeypatch.setattr(Jobs, "_work", work)
    return found


def resumed(folder):
    """All jobs, once a server that starts has done what waited."""

    async def start():
        jobs = jobs_in(folder)
        jobs.resume()
        await asyncio.gather(*jobs._running)
        return jobs.all("evaluations", "home")

    return asyncio.run(start())


def put(folder, name, status="NotSubmitted"):
    path = folder / "evaluations" / "evaluations" / "home" / f"{file_name(name)}.json"
    save(path, replace(job(name), status=status))
    return path


def test_what_waited_when_the_server_was_killed_is_done_by_the_next(tmp_path, done):
    for name in ("first", "second"):
        put(tmp_path, name)
    for status in ("Succeeded", "Failed"):
        put(tmp_path, status, status)
    found = {each.id: each.status for each in resumed(tmp_path)}
    assert done == ["first", "second"]
    expected = dict.fromkeys(("first", "second", "Succeeded"), "Succeeded") | {"Failed": "Failed"}
    assert found == expected


def test_what_two_servers_have_waiting_is_done_once(tmp_path, done):
    put(tmp_path, "j")

    async def start():
        workers = [jobs_in(tmp_path) for _ in range(2)]
        for jobs in workers:
            jobs.resume()
        await asyncio.gather(*(task for jobs in workers for task in jobs._running))

    asyncio.run(start())
    assert done == ["j"]


def test_a_job_that_another_process_does_is_left_to_it(tmp_path):
    path = put(tmp_path, "j", "Running")
    log = MemoryLog()
    with exclusive(path.parent, path.stem):
        run(path, log)
        assert jobs_in(tmp_path).read("evaluations", "home", "j").status == "Running"
    run(path, log)
    assert load(path).status == "Running", "it was begun before, and only that process may end it"
    assert jobs_in(tmp_path).read("evaluations", "home", "j").status == "Failed"


@pytest.mark.parametrize("left", [b"", b'{"id":"j","kind":"eva', b"\xff\x00", b"[]"])
def test_a_file_that_cannot_be_read_is_told_beside_the_others(tmp_path, left):
    put(tmp_path, "sound", "Succeeded")
    put(tmp_path, "a/b").write_bytes(left)
    jobs = jobs_in(tmp_path)
    found = {each.id: each for each in jobs.all("evaluations", "home")}
    assert {name: each.status for name, each in found.items()} == {
        "sound": "Succeeded",
        "a/b": "Failed",
    }
    assert "cannot be read" in found["a/b"].description
    assert found["a/b"].placement == "home"
    assert jobs.read("evaluations", "home", "a/b") == found["a/b"]
    jobs.delete("evaluations", "home", "a/b")
    assert [each.id for each in jobs.all("evaluations", "home")] == ["sound"]
