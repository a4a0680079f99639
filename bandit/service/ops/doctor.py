"""A doctor: looks at settings, log and machine, and says what is wrong and what to do about it.

It only reads. Each check is a function that yields findings; one that cannot look, because what
it needs is not there, leaves the word to the check whose matter that is.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct
from packaging.requirements import Requirement

from bandit.errors import RequestError, SettingError
from bandit.service.auth.keys import KeyRing
from bandit.service.auth.privacy import PrivacyFilter
from bandit.service.auth.tls_cors import check_exposure, edge_options, for_origins
from bandit.service.auth.tokens import Tokens
from bandit.service.ops.files import half_done, open_files, unreadable_reports
from bandit.service.settings import ENVIRONMENT, Settings, load_settings, unknown_variables
from bandit.service.state import Snapshots
from streams.checkpoint import DAMAGED, SUFFIX, read_checkpoint
from streams.dead_letters import read_dead_letters
from streams.errors import CheckpointError, LogLost, StreamsError
from streams.events import DECISIONS
from streams.fold import ends
from streams.inspect import lags
from streams.logs.base import Log
from streams.logs.log_clock import SLEWED_MS
from streams.logs.opening import log_exists, open_log, redacted, sqlite_path
from streams.logs.sqlite_file import read_only
from streams.spool import set_aside
from streams.topic_checks import topic_faults
from streams.topics import GROUPS, topic_states

SLOW_SECONDS: Final = 1.0
FAR_BEHIND: Final = 10_000
"""How many records a group may be behind before the doctor minds."""
SOON_MS: Final = 14 * 86_400_000
CLOCK_MS: Final = 5_000
LITTLE_BYTES: Final = 1 << 30
LEAST_BYTES: Final = 200 << 20
CHECKED_BYTES: Final = 256 << 20
"""A larger SQLite file takes too long to go through while somebody waits."""
STARTS: Final = {"joiner": "copyloop streams join", "learner": "copyloop bandit learn"}
_START: Final = "`copyloop up` makes it; or name another with --data or --log"
_REACH: Final = "see that it runs, that this machine reaches it, and what its own log says"

State: TypeAlias = Literal["ok", "warning", "failure"]
Seen: TypeAlias = Iterator[tuple[State, str, str]]
"""What a check yields: a state, what was found, and what to do."""


class Finding(Struct, frozen=True):
    """Whether something is well, what it is, and what to do if it is not."""

    check: str
    state: State
    found: str
    do: str = ""


class Patient(NamedTuple):
    """What is looked at."""

    settings: Settings
    log: Log
    now_ms: int


def examine(
    arguments: Mapping[str, object],
    now_ms: int,
    environment: Mapping[str, str] = ENVIRONMENT,
) -> list[Finding]:
    """Returns everything that was found.

    Args:
        arguments: settings as the command line gives them, None where it does not.
        now_ms: the time.
        environment: the variables that the API would be started with.
    """
    try:
        settings = load_settings(arguments, environment)
    except SettingError as error:
        wrong = Finding("settings", "failure", str(error), "set it right")
        return [*_as_findings("versions", _versions()), wrong]
    findings = look_at_machine(settings)
    findings += _as_findings("settings", _settings(settings, environment))
    url = settings.log_url
    if not log_exists(url):
        return [*findings, _missing_log(settings)]
    try:
        with closing(open_log(url)) as log:
            findings += look(Patient(settings, log, now_ms))
    except StreamsError as error:
        do = "as it says" if isinstance(error, LogLost) else _REACH
        findings.append(Finding("log", "failure", f"{redacted(url)}: {error}", do))
    return findings


def _missing_log(settings: Settings) -> Finding:
    """Returns what it means that there is no log: nothing was started yet, or the log is gone."""
    url = redacted(settings.log_url)
    made = [name for name in MADE_OF_A_LOG if any((settings.data / name).glob("*"))]
    if not made:
        return Finding("log", "warning", f"there is none at {url} yet", _START)
    found = f"there is none at {url}, but {settings.data} has what was made of one: "
    do = "bring the log back, or make one of a backup or the archive: `copyloop streams restore`"
    return Finding("log", "failure", found + ", ".join(made), do)


MADE_OF_A_LOG: Final = ("checkpoints", "archive", "spool")


def look_at_machine(settings: Settings) -> list[Finding]:
    """Returns what is found on this machine: installed versions, the disk's room, and files."""
    checks = {"versions": _versions(), "disk": _disk(settings), "files": _files(settings)}
    return [finding for name, seen in checks.items() for finding in _as_findings(name, seen)]


def look(patient: Patient) -> list[Finding]:
    """Returns what is found in the log that is served, and in what must fit to it."""
    checks = {
        "log": _log,
        "clock": _clock,
        "checkpoints": _checkpoints,
        "policies": _policies,
        "lag": _lag,
        "dead letters": _dead_letters,
        "keys": _keys,
        "protection": _protection,
    }
    return [
        finding for name, check in checks.items() for finding in _as_findings(name, check(patient))
    ]


def _as_findings(check: str, seen: Seen) -> list[Finding]:
    try:
        return [Finding(check, *each) for each in seen]
    except StreamsError as error:
        return [Finding(check, "failure", f"cannot be looked at: {error}", _REACH)]


def _settings(settings: Settings, environment: Mapping[str, str]) -> Seen:
    for variable in unknown_variables(environment):
        yield "failure", f"no setting is called {variable}", "mind the spelling"
    try:
        PrivacyFilter(settings.private_salt, settings.reward_secret)
        edge_options(settings)
        for_origins(_nothing, settings.cors_origins)
        if settings.jwt_jwks_url:
            Tokens(settings)
    except SettingError as error:
        yield "failure", str(error), "set it right; the API does not start"
    else:
        yield "ok", "every one can be", ""
    if settings.durability == "buffered":
        found = "durability is buffered: a crash loses decisions that were answered"
        yield "warning", found, "set COPYLOOP_DURABILITY=logged unless meant"
    if settings.cors_origins == "*":
        found = "any page may ask the API (COPYLOOP_CORS_ORIGINS is *)"
        yield "warning", found, "name the origins of your own pages"


async def _nothing(scope: object, receive: object, send: object) -> None:
    """Stands for an application where only its settings are looked at."""


def _log(patient: Patient) -> Seen:
    states = topic_states(patient.log, create=False)
    missing = [each.topic.name for each in states if each.state == "missing"]
    if missing:
        found = f"topics are missing: {', '.join(missing)}"
        yield "failure", found, "`copyloop streams topics` makes them"
        return
    began = time.monotonic()
    end = sum(ends(patient.log, DECISIONS).values())
    seconds = time.monotonic() - began
    place = redacted(patient.settings.log_url)
    if seconds > SLOW_SECONDS:
        yield "warning", f"{place} took {seconds:.1f} s to answer", _REACH
    else:
        yield "ok", f"{place} has {end} records of decisions, and answers", ""
    yield from _sqlite_file(patient.settings.log_url)
    for fault in topic_faults(patient.log, states):
        yield "warning", f"topic {fault}", "`copyloop streams topics` prints what sets it right"


def _clock(patient: Patient) -> Seen:
    latest_ms = 0
    for partition, end in ends(patient.log, DECISIONS).items():
        records = patient.log.read(partition, max(end - 1, 0), limit=1) if end else []
        latest_ms = max([latest_ms, *(record.timestamp_ms for record in records)])
    time = patient.log.time()
    ahead_ms = latest_ms - patient.now_ms - time.accepted_ms
    if time.ahead_ms > SLEWED_MS and time.disagreement is not None:
        found = f"the log's time is {time.ahead_ms / 1000:.0f} s ahead of this clock"
        yield "failure", found, "set the clock right, then `copyloop streams clock --accept`"
    elif ahead_ms > CLOCK_MS:
        found = f"the log's latest decision is {ahead_ms / 1000:.0f} s in the future of this clock"
        yield "failure", found, "have NTP set the clocks of all machines"
    elif time.accepted_ms > CLOCK_MS:
        yield "ok", f"behind the log's by {time.ahead_ms / 1000:.0f} s, which was accepted", ""
    else:
        yield "ok", "not behind the log's", ""


def _checkpoints(patient: Patient) -> Seen:
    """Looks whether what processes go on from is sound; what is too large takes too long."""
    folder = patient.settings.data / "checkpoints"
    damaged = 0
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            if path.stat().st_size <= CHECKED_BYTES:
                read_checkpoint(path)
        except CheckpointError as error:
            damaged += 1
            do = "nothing is lost: at its next start the process reads the log again; see the disk"
            yield "failure", str(error), do
        except FileNotFoundError:
            continue  # put aside meanwhile
    for path in sorted(folder.glob(f"*{SUFFIX}{DAMAGED}")):
        damaged += 1
        found = f"{path} could not be used; the process began without it, and read the log again"
        yield "warning", found, "see whether the disk fails, then remove the file"
    if not damaged:
        yield "ok", "those that there are can be read", ""


def _policies(patient: Patient) -> Seen:
    snapshots = _snapshots(patient.log)
    names = [placement.name for placement in snapshots.catalogue.placements()]
    looked = f"{len(names)} placements looked at"
    if snapshots.refused:
        found = f"{snapshots.refused} snapshots hold other bytes than their hash says"
        do = "see that `copyloop bandit learn` runs: its next one replaces them; and what damaged"
        yield "failure", found, f"{do} the log"
    for name in names:
        serving = snapshots.placement(name)
        if serving is None:
            found = f"{name!r} has no policy that can be served"
            yield "failure", found, "PUT the placement with another policy"
        elif not serving.actions:
            found = f"{name!r} has no live creative"
            yield "warning", found, "add one, or approve one; or callers bring actions"
    yield "ok", looked if snapshots.refused else f"{looked}, hashes agree", ""


def _snapshots(log: Log) -> Snapshots:
    snapshots = Snapshots(log)
    snapshots.start()
    snapshots.stop()
    return snapshots


def _lag(patient: Patient) -> Seen:
    behind = lags(patient.log, GROUPS)
    for one in behind:
        where = f"group {one.group!r} in {one.topic}/{one.partition}"
        if one.committed is None and one.end:
            found = f"{where} never read anything of {one.end} records"
            yield "failure", found, f"start it: {STARTS[one.group]}"
        elif one.lag > FAR_BEHIND:
            found = f"{where} is {one.lag} records behind"
            yield "warning", found, "see that it runs; more partitions share work"
    if not any(one.lag > FAR_BEHIND for one in behind):
        yield "ok", f"at most {max((one.lag for one in behind), default=0)} records", ""


def _dead_letters(patient: Patient) -> Seen:
    reasons = Counter(letter.reason for letter in read_dead_letters(patient.log))
    if not reasons:
        yield "ok", "none", ""
    for reason, count in reasons.most_common():
        do = f"`copyloop streams dead-letter list --reason {reason}`, then mend and replay"
        yield "warning", f"{count} for {reason}", do


def _keys(patient: Patient) -> Seen:
    ring = KeyRing(patient.log, lambda: patient.now_ms)
    ring.catch_up()
    active = ring.active()
    try:
        check_exposure(patient.settings, ring)
    except SettingError as error:
        yield "failure", str(error), "as it says"
    if ring.unreadable:
        found = f"{ring.unreadable} keys have a record that cannot be read, and open nothing"
        yield "failure", found, "upgrade if a newer copyloop made them, or make others for them"
    if ring.has_keys and not active and not patient.settings.jwt_jwks_url:
        found = "no key opens anything: nobody may ask the API anything"
        yield "failure", found, "`copyloop keys create`"
    for key in active:
        named = f"key {key.id} ({key.name})"
        if key.expires_ms is not None and key.expires_ms - patient.now_ms < SOON_MS:
            days = (key.expires_ms - patient.now_ms) / 86_400_000
            yield "warning", f"{named} ends in {days:.1f} days", "make another in time"
        if "admin" in key.scopes and {"rank", "reward"} & set(key.scopes):
            do = "give each use a key of its own, that may no more than it needs"
            yield "warning", f"{named} asks and administers", do
    if active:
        yield "ok", f"{len(active)} of {len(ring.every())} keys are active", ""
    elif not ring.has_keys:
        yield "ok", f"none; everyone on {patient.settings.host} may do everything", ""


def _protection(patient: Patient) -> Seen:
    try:
        shield = PrivacyFilter(patient.settings.private_salt, patient.settings.reward_secret)
    except SettingError:
        return
    for placement in _snapshots(patient.log).catalogue.placements():
        if not placement.protection:
            continue
        try:
            shield.check(placement)
        except RequestError as error:
            yield "failure", str(error), "ranks of it are refused until then"
        else:
            yield "ok", f"{placement.name!r} is protected, secrets are there", ""


def _versions() -> Seen:
    """Looks whether what is installed is what this version was tested with."""
    wrong, extras = 0, metadata("copyloop").get_all("Provides-Extra", [])
    for text in requires("copyloop") or ():
        need = Requirement(text)
        install = f"pip install '{need.name}{need.specifier}'"
        marker = need.marker
        optional = marker is not None and not marker.evaluate({"extra": ""})
        if marker and optional and not any(marker.evaluate({"extra": each}) for each in extras):
            # It is for another Python or another machine.
            continue
        try:
            there = version(need.name)
        except PackageNotFoundError:
            if not optional:
                wrong += 1
                yield "failure", f"{need.name} is missing", install
            continue
        if not need.specifier.contains(there, prereleases=True):
            wrong += 1
            found = f"{need.name} is {there}; tested with {need.specifier}"
            yield "warning" if optional else "failure", found, install
    if not wrong:
        yield "ok", f"copyloop {version('copyloop')}, and what it was tested with", ""


def _disk(settings: Settings) -> Seen:
    """Looks whether there is room where decisions are written."""
    folder = settings.data
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    # What may come to wait on disk while Kafka is away.
    spools = settings.spool_max_bytes if settings.log_url.startswith("kafka://") else 0
    found = f"{free >> 20} MiB are free for {settings.data}"
    do = "make room: an append that finds none is refused, and the loop stands still"
    if free < LEAST_BYTES:
        yield "failure", found, do
    elif free < LITTLE_BYTES or spools > free:
        yield "warning", found, do
    else:
        yield "ok", found, ""


def _files(settings: Settings) -> Seen:
    """Looks who may read the log, and whether anything was left half done."""
    wrong = False
    for path in open_files(settings):
        wrong = True
        yield "warning", f"{path} can be read by others than its owner", f"chmod 600 {path}"
    for found in half_done(settings):
        wrong = True
        yield "failure", found, "give the same `copyloop forget` again"
    for path, message, error in set_aside(settings.data / "spool"):
        wrong = True
        found = f"{path} holds a message for {message.topic} that the log refused: {error}"
        yield "warning", found, "make the log take it, and start the API again"
    for path in unreadable_reports(settings):
        wrong = True
        yield "warning", f"{path} cannot be read", "DELETE that evaluation, and submit it again"
    if not wrong:
        yield "ok", f"those in {settings.data} are for their owner alone, and finished", ""


def _sqlite_file(url: str) -> Seen:
    """Looks whether the file of a SQLite log holds together, if it can be gone through soon."""
    path = sqlite_path(url)
    if path is None or path.stat().st_size > CHECKED_BYTES:
        return
    with closing(read_only(path)) as connection:
        ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != "ok":
        do = "stop everything, move it away, and `copyloop streams restore` a backup or the archive"
        yield "failure", f"{path} is damaged: {verdict}", do
