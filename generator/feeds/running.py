"""Many briefs in one run: each is written for as it comes, and none twice.

What came of a brief is a file of its own in the folder of the run, so a run that was stopped goes
on where it was. A file says what it was made of; it is made anew where that has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec

from generator.brief.schema import Brief, brief_hash, load_brief
from generator.errors import BackendError, BriefError, FeedError, GeneratorError
from generator.feeds.merchant import BadItem, Feed
from generator.feeds.template import Template
from streams.files.writing import BY_UMASK, write_whole

REPORT: Final = "report.json"
CREATIVES: Final = "creatives.json"
LONGEST_NAME: Final = 150
BRIEFS: Final = (".yaml", ".yml", ".json")

Result: TypeAlias = dict[str, Any]
"""What `copyloop generate --format json` prints of a brief."""
Status: TypeAlias = Literal["written", "there", "nothing passed", "failed"]


class Job(NamedTuple):
    """A brief to write for: its name, and the folder of its material."""

    name: str
    brief: Brief
    base: Path


class Outcome(NamedTuple):
    """What came of one brief; `why` says what went wrong, or which gates refused most."""

    name: str
    status: Status
    accepted: int = 0
    refused: int = 0
    why: str = ""


def jobs_of_folder(folder: Path) -> tuple[list[Job], list[Outcome]]:
    """Returns the briefs in a folder by name, and those that are none.

    Raises:
        BriefError: there is no brief in it.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix in BRIEFS)
    if not paths:
        raise BriefError(f"{folder}: has no brief; expected files that end in .yaml or .json")
    jobs, bad = [], []
    for path in paths:
        try:
            jobs.append(Job(path.name, load_brief(path), folder))
        except BriefError as error:
            bad.append(Outcome(path.name, "failed", why=str(error)))
    return jobs, bad


def jobs_of_feed(feed: Feed, template: Template, base: Path) -> tuple[list[Job], list[Outcome]]:
    """Returns a job for each item of a feed, and the items of which no brief can be made."""
    jobs, bad = [], [_told(each) for each in feed.bad]
    for item in feed.items:
        try:
            jobs.append(Job(item.id, template.brief(item), base))
        except BriefError as error:
            bad.append(Outcome(item.id, "failed", why=f"item {item.number}: {error}"))
    return jobs, bad


def _told(item: BadItem) -> Outcome:
    name = item.id or f"item {item.number}"
    return Outcome(name, "failed", why=f"item {item.number}: {item.why}")


def write_all(
    jobs: Sequence[Job],
    out: Path,
    write: Callable[[Job], Result],
    *,
    made_of: str,
    progress: Callable[[int, Job], None],
) -> list[Outcome]:
    """Returns what came of each job, in order; those that are there already are not done again.

    Args:
        jobs: whose names differ.
        out: the folder of the run.
        write: writes for one brief, with a model that is loaded once.
        made_of: a hash of everything beside the brief that what is written depends on.
        progress: told how many are done, before each.

    Raises:
        FeedError: two jobs have one name.
        BackendError: the model failed; what was written stays.
    """
    names = [job.name for job in jobs]
    twice = (
        {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    )
    if twice:
        raise FeedError(f"two briefs have the name {min(twice)!r}; each has a file of its own")
    found = []
    for done, job in enumerate(jobs):
        progress(done, job)
        file = out / f"{file_name(job.name)}.json"
        key = _key(job, made_of)
        before = _read(file)
        if before.get("key") == key:
            found.append(_outcome(job, before, "there"))
            continue
        try:
            result = write(job)
        except BackendError as error:
            raise type(error)(
                f"{error}; {done} of {len(jobs)} briefs are done, and the same command goes on"
            ) from error
        except GeneratorError as error:
            found.append(Outcome(job.name, "failed", why=f"{error.code}: {error}"))
            continue
        result = {"key": key, "name": job.name, **result}
        write_whole(file, msgspec.json.format(msgspec.json.encode(result), indent=2), mode=BY_UMASK)
        found.append(_outcome(job, result, "written"))
    return found


def write_report(out: Path, outcomes: Sequence[Outcome], jobs: Iterable[Job]) -> None:
    """Writes what came of all briefs, and all accepted creatives in one file, for import."""
    counts: dict[str, int] = {
        "briefs": len(outcomes),
        "creatives": sum(o.accepted for o in outcomes),
    }
    counts |= {status: sum(o.status == status for o in outcomes) for status in STATUSES}
    report = {"totals": counts, "briefs": [o._asdict() for o in outcomes]}
    creatives = [
        each
        for job in jobs
        for each in _read(out / f"{file_name(job.name)}.json").get("accepted", ())
    ]
    for name, content in ((REPORT, report), (CREATIVES, creatives)):
        data = msgspec.json.format(msgspec.json.encode(content), indent=2)
        write_whole(out / name, data, mode=BY_UMASK)


STATUSES: Final[tuple[Status, ...]] = ("written", "there", "nothing passed", "failed")


def file_name(name: str) -> str:
    """Returns a file's name for a job's, without what no file system takes.

    >>> file_name("SKU 1/2"), file_name("report")
    ('SKU%201%2F2', 'report_')
    """
    quoted = quote(name, safe="")
    if len(quoted) > LONGEST_NAME:
        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        quoted = f"{quoted[: LONGEST_NAME - 17]}-{digest}"
    taken = {REPORT, CREATIVES, ".json", "..json"}
    return f"{quoted}_" if f"{quoted}.json" in taken else quoted


def _outcome(job: Job, result: Result, status: Status) -> Outcome:
    accepted, refused = len(result["accepted"]), result["rejected"]
    codes: dict[str, int] = {}
    for each in refused:
        codes[each.get("code", "")] = codes.get(each.get("code", ""), 0) + 1
    often = sorted(codes.items(), key=lambda found: -found[1])[:3]
    why = ", ".join(f"{code} {count}" for code, count in often)
    return Outcome(job.name, status if accepted else "nothing passed", accepted, len(refused), why)


def _key(job: Job, made_of: str) -> str:
    data = f"{brief_hash(job.brief)} {made_of}".encode()
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _read(file: Path) -> Result:
    """Returns a file of an earlier run, nothing where there is none, or it is damaged."""
    try:
        found = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    whole = isinstance(found, dict) and {"accepted", "rejected", "key"} <= found.keys()
    return found if whole else {}
