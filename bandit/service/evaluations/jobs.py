"""Evaluations and feature importances: what was asked for, how far it is, and what was found.

Each is a file in the data folder, made from the log and made anew if it is lost; no policy follows
from it. A process of its own does the work, since that would hold up every request otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from bandit.errors import RequestError
from bandit.service.settings import Settings
from streams.checkpoint import exclusive, file_name
from streams.errors import LockError
from streams.events import PolicySpec
from streams.files.writing import write_whole
from streams.process import module_command

logger = logging.getLogger(__name__)

FOLDER: Final = "evaluations"
UNREADABLE: Final = "its file cannot be read any more; DELETE it, and submit it again"
IN_MEMORY: Final = "memory://"
NO_WORD: Final = "the process that ran it ended without a word; submit it again"
SERVER_ENDED: Final = "the server ended before it was done; submit it again"

JobKind = Literal["evaluations", "featureImportances"]
JobStatus = Literal["NotSubmitted", "Running", "Succeeded", "Failed"]
Origin = Literal["Online", "Baseline", "Random", "Custom", "OfflineExperimentation"]


class JobCandidate(Struct, frozen=True):
    """A policy to be judged: its name, whose it is, and the arguments that stand for it, if any."""

    name: str
    origin: Origin
    spec: PolicySpec
    arguments: str = ""


class ValueOverTime(Struct, frozen=True):
    """What a policy earns per decision, from `at_ms` on; the bounds are at 95 %."""

    at_ms: int
    n: int
    value: float
    low: float | None
    high: float | None


class Result(Struct, frozen=True):
    """What one policy would have earned; `weight` is the sum of importance weights.

    `over_logged` is by how much that is more than what was shown earned, as a stretch; `verdict`
    is the code of whether to believe it (see `bandit.ope.checks.diagnostics`), `words` says it.
    """

    name: str
    arguments: str
    origin: Origin
    total: ValueOverTime
    weight: float
    over_time: tuple[ValueOverTime, ...]
    over_logged: ValueOverTime | None = None
    verdict: str = ""
    words: str = ""


class FeatureScore(Struct, frozen=True, rename="camel"):
    """By how much the average reward falls if the policy never sees the feature."""

    feature_name: str
    namespace: str
    score: float


class Job(Struct, frozen=True, kw_only=True):
    """An evaluation or a feature importance of one placement, over decisions in [start, end)."""

    id: str
    kind: JobKind
    placement: str
    name: str
    start_ms: int
    end_ms: int
    created_ms: int
    entrants: tuple[JobCandidate, ...] = ()
    status: JobStatus = "NotSubmitted"
    description: str = ""
    results: tuple[Result, ...] = ()
    logged: ValueOverTime | None = None
    optimal: str | None = None
    scores: tuple[FeatureScore, ...] = ()


class Jobs:
    """The jobs of one data folder, and what runs them, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.data / FOLDER
        self._log_url = settings.log_url
        self._turn = asyncio.Semaphore(1)
        self._running: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Has done what waited when an earlier server was killed; call it in the event loop."""
        if self._log_url.startswith(IN_MEMORY):
            return
        for path in sorted(self._folder.glob("*/*/*.json")):
            if load(path).status == "NotSubmitted":
                self._start(path)

    def submit(self, job: Job) -> None:
        """Keeps the job and has it done as soon as the one before it is.

        Raises:
            RequestError: `log_in_memory`, `job_exists`.
        """
        if self._log_url.startswith(IN_MEMORY):
            raise RequestError(
                409,
                "log_in_memory",
                "an evaluation reads the log in a process of its own, and this log is in the "
                "memory of this one; serve a log on disk or on Kafka",
            )
        path = self._path(job.kind, job.placement, job.id)
        if path.exists():
            message = f"there is a job {job.id!r} already; DELETE it, or take another id"
            raise RequestError(409, "job_exists", message, target="id")
        save(path, job)
        self._start(path)

    async def close(self) -> None:
        """Ends what runs and what waits; both say so."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def read(self, kind: JobKind, placement: str, job_id: str) -> Job:
        """Returns the job as it is now, as failed if its file cannot be read.

        Raises:
            RequestError: `job_not_found`.
        """
        path = self._path(kind, placement, job_id)
        try:
            return _as_it_is(path)
        except FileNotFoundError as error:
            raise RequestError(
                404,
                "job_not_found",
                f"placement {placement!r} has none of id {job_id!r} among its {kind}",
                target="id",
            ) from error

    def all(self, kind: JobKind, placement: str) -> list[Job]:
        """Returns the placement's jobs, newest first."""
        folder = self._path(kind, placement, "any").parent
        found = [_as_it_is(path) for path in folder.glob("*.json")]
        return sorted(found, key=lambda job: (-job.created_ms, job.id))

    def delete(self, kind: JobKind, placement: str, job_id: str) -> None:
        """Removes the job, whether it is there or not; one that runs finds nobody to tell."""
        self._path(kind, placement, job_id).unlink(missing_ok=True)

    def _path(self, kind: JobKind, placement: str, job_id: str) -> Path:
        return self._folder / kind / file_name(placement) / f"{file_name(job_id)}.json"

    def _start(self, path: Path) -> None:
        task = asyncio.get_running_loop().create_task(self._run(path))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, path: Path) -> None:
        try:
            async with self._turn:
                # It was deleted while it waited for its turn, or another worker has done it.
                if not path.exists() or load(path).status != "NotSubmitted":
                    return
                code, told = await self._work(path)
        except asyncio.CancelledError:
            _fail(path, SERVER_ENDED)
            raise
        if code:
            lines = told.decode(errors="replace").splitlines()
            logger.error("%s ended with %s:\n%s", path, code, "\n".join(lines))
            _fail(
                path,
                f"its process ended with {code}, and the server's log says why; submit it again",
            )

    async def _work(self, path: Path) -> tuple[int | None, bytes]:
        """Returns how the process ended that did the job, and what it complained of."""
        command = module_command("bandit.service.evaluations.work")
        # Not by the event loop: uvloop forks, which waits for ever if numpy computes meanwhile.
        process = subprocess.Popen(
            [*command, "--log", self._log_url, str(path)], stderr=subprocess.PIPE
        )
        ending = asyncio.ensure_future(asyncio.to_thread(process.communicate))
        try:
            _, told = await asyncio.shield(ending)
        except asyncio.CancelledError:
            process.kill()
            await ending
            raise
        return process.returncode, told


def load(path: Path) -> Job:
    """Returns the job in the file; one that failed, and says so, if that cannot be read.

    Raises:
        FileNotFoundError: there is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Job)
    except (msgspec.DecodeError, UnicodeDecodeError, IsADirectoryError):
        return Job(
            id=unquote(path.stem),
            kind="evaluations" if path.parts[-3] == "evaluations" else "featureImportances",
            placement=unquote(path.parent.name),
            name="",
            start_ms=0,
            end_ms=0,
            created_ms=int(path.stat().st_mtime * 1000),
            status="Failed",
            description=UNREADABLE,
        )


def _as_it_is(path: Path) -> Job:
    """Returns the job in the file, as failed if nobody does it any more."""
    job = load(path)
    if job.status == "Running" and _is_abandoned(path):
        return msgspec.structs.replace(job, status="Failed", description=NO_WORD)
    return job


def save(path: Path, job: Job) -> None:
    """Writes the job to its file, all of it or nothing."""
    # Two may write it at once: who does the job, and who finds out that it failed.
    write_whole(path, msgspec.json.encode(job), shared=True)


def _fail(path: Path, why: str) -> None:
    # Not what another worker does, or has done by now.
    if path.exists() and _is_abandoned(path) and load(path).status in ("NotSubmitted", "Running"):
        save(path, msgspec.structs.replace(load(path), status="Failed", description=why))


def _is_abandoned(path: Path) -> bool:
    """Whether nobody holds the lock that who does the job holds."""
    try:
        with exclusive(path.parent, path.stem):
            return True
    except LockError:
        return False
