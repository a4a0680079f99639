"""Jobs by themselves: what becomes of one that nobody wants any more."""

import asyncio

from bandit.service.evaluations.jobs import Job, Jobs
from bandit.service.settings import Settings


def test_a_job_that_was_deleted_before_its_turn_is_not_begun(tmp_path, caplog):
    async def submit_and_delete():
        jobs = Jobs(Settings(data=tmp_path, log=f"sqlite:///{tmp_path / 'log.db'}"))
        job = Job(
            id="j",
            kind="evaluations",
            placement="home",
            name="soon gone",
            start_ms=0,
            end_ms=1,
            created_ms=0,
        )
        jobs.submit(job)
        jobs.delete("evaluations", "home", "j")
        await asyncio.gather(*jobs._running)
        return jobs.all("evaluations", "home")

    assert asyncio.run(submit_and_delete()) == []
    # a process that looked for it in vain would be told of here
    assert caplog.records == []
