"""A doctor: looks at settings, log and machine, and says what is wrong and what to do about it.

It only reads. Each check is a function that yields findings; one that cannot look, because what
it needs is not there, leaves the word to the check whose matter that is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Final, NamedTuple

from bandit.errors import RequestError, SettingError
from bandit.service.operations import machine
from bandit.service.operations.finding import Finding
from bandit.service.security.edge import edge_options, for_origins
from bandit.service.security.exposure import check_exposure
from bandit.service.security.key_ring import KeyRing
from bandit.service.security.protection import PrivacyFilter
from bandit.service.security.tokens import Tokens
from bandit.service.settings import ENVIRONMENT, Settings, load_settings, unknown_variables
from bandit.service.snapshots import Snapshots
from streams.command_line import is_there
from streams.dead_letters import read_letters
from streams.errors import StreamsError
from streams.events import DECISIONS
from streams.lag import lags
from streams.log import Log, TopicPartition, open_log, redacted
from streams.topics import GROUPS, topic_states

SLOW_SECONDS: Final = 1.0
FAR_BEHIND: Final = 10_000
"""How many records a group may be behind before the doctor minds."""
SOON_MS: Final = 14 * 86_400_000
CLOCK_MS: Final = 5_000


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
    findings = list(machine.versions())
    try:
        settings = load_settings(arguments, environment)
        findings += _settings(settings, environment)
    except SettingError as error:
        return [*findings, Finding("settings", "failure", str(error), "set it right")]
    findings += machine.disk(settings)
    url = settings.log_url
    if not is_there(url):
        return [*findings, Finding("log", "warning", f"there is none at {url} yet", _START)]
    try:
        with closing(open_log(url)) as log:
            findings += look(Patient(settings, log, now_ms))
    except StreamsError as error:
        findings.append(Finding("log", "failure", f"{redacted(url)}: {error}", _REACH))
    return findings


def look(patient: Patient) -> list[Finding]:
    """Returns what is found in the log that is served, and in what must fit to it."""
    findings = []
    for check in (_log, _clock, _policies, _lag, _dead_letters, _keys, _protection):
        findings += _looked(check, patient)
    return findings


_START: Final = "`copyloop up` makes it; or name another with --data or --log"
_REACH: Final = "see that it runs, that this machine reaches it, and what its own log says"


def _looked(check: Callable[[Patient], Iterator[Finding]], patient: Patient) -> list[Finding]:
    try:
        return list(check(patient))
    except StreamsError as error:
        name = check.__name__.strip("_").replace("_", " ")
        return [Finding(name, "failure", f"cannot be looked at: {error}", _REACH)]


def _settings(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    for variable in unknown_variables(environment):
        yield Finding(
            "settings", "failure", f"no setting is called {variable}", "mind the spelling"
        )
    try:
        PrivacyFilter(settings.private_salt, settings.reward_secret)
        edge_options(settings)
        for_origins(_nothing, settings.cors_origins)
        if settings.jwt_jwks_url:
            Tokens(settings)
    except SettingError as error:
        yield Finding("settings", "failure", str(error), "set it right; the API does not start")
    else:
        yield Finding("settings", "ok", "every one can be")
    if settings.durability == "buffered":
        found = "durability is buffered: a crash loses decisions that were answered"
        yield Finding("settings", "warning", found, "set COPYLOOP_DURABILITY=logged unless meant")
    if settings.cors_origins == "*":
        found = "any page may ask the API (COPYLOOP_CORS_ORIGINS is *)"
        yield Finding("settings", "warning", found, "name the origins of your own pages")


async def _nothing(scope: object, receive: object, send: object) -> None:
    """Stands for an application where only its settings are looked at."""


def _log(patient: Patient) -> Iterator[Finding]:
    missing = [
        s.topic.name for s in topic_states(patient.log, create=False) if s.state == "missing"
    ]
    if missing:
        found = f"topics are missing: {', '.join(missing)}"
        yield Finding("log", "failure", found, "`copyloop streams topics` makes them")
        return
    began = time.monotonic()
    end = sum(
        patient.log.end_offset(TopicPartition(DECISIONS, number))
        for number in range(patient.log.partitions(DECISIONS))
    )
    seconds = time.monotonic() - began
    place = redacted(patient.settings.log_url)
    if seconds > SLOW_SECONDS:
        yield Finding("log", "warning", f"{place} took {seconds:.1f} s to answer", _REACH)
    else:
        yield Finding("log", "ok", f"{place} has {end} decisions, and answers")
    yield from machine.sqlite_file(patient.settings.log_url)


def _clock(patient: Patient) -> Iterator[Finding]:
    latest_ms = 0
    for number in range(patient.log.partitions(DECISIONS)):
        partition = TopicPartition(DECISIONS, number)
        end = patient.log.end_offset(partition)
        records = patient.log.read(partition, max(end - 1, 0), limit=1) if end else []
        latest_ms = max([latest_ms, *(record.timestamp_ms for record in records)])
    ahead_ms = latest_ms - patient.now_ms
    if ahead_ms > CLOCK_MS:
        found = f"the log's latest decision is {ahead_ms / 1000:.0f} s in the future of this clock"
        yield Finding("clock", "failure", found, "have NTP set the clocks of all machines")
    else:
        yield Finding("clock", "ok", "not behind the log's")


def _policies(patient: Patient) -> Iterator[Finding]:
    snapshots = Snapshots(patient.log)
    snapshots.start()
    snapshots.stop()
    names = [placement.name for placement in snapshots.catalogue.placements()]
    if snapshots.refused:
        found = f"{snapshots.refused} snapshots hold other bytes than their hash says"
        yield Finding(
            "policies",
            "failure",
            found,
            "see that `copyloop bandit learn` runs: its "
            "next one replaces them; and what damaged the log",
        )
    for name in names:
        serving = snapshots.placement(name)
        if serving is None:
            found = f"{name!r} has no policy that can be served"
            yield Finding("policies", "failure", found, "PUT the placement with another policy")
        elif not serving.actions:
            found = f"{name!r} has no live creative"
            yield Finding(
                "policies", "warning", found, "add one, or approve one; or callers bring actions"
            )
    yield Finding(
        "policies",
        "ok",
        f"{len(names)} placements looked at, hashes agree"
        if not snapshots.refused
        else f"{len(names)} placements looked at",
    )


def _lag(patient: Patient) -> Iterator[Finding]:
    behind = lags(patient.log, GROUPS)
    for one in behind:
        where = f"group {one.group!r} in {one.topic}/{one.partition}"
        if one.committed is None and one.end:
            found = f"{where} never read anything of {one.end} records"
            yield Finding("lag", "failure", found, f"start it: {STARTS[one.group]}")
        elif one.lag > FAR_BEHIND:
            found = f"{where} is {one.lag} records behind"
            yield Finding("lag", "warning", found, "see that it runs; more partitions share work")
    if not any(one.lag > FAR_BEHIND for one in behind):
        yield Finding("lag", "ok", f"at most {max((o.lag for o in behind), default=0)} records")


STARTS: Final = {"joiner": "copyloop streams join", "learner": "copyloop bandit learn"}


def _dead_letters(patient: Patient) -> Iterator[Finding]:
    reasons = Counter(letter.reason for letter in read_letters(patient.log))
    if not reasons:
        yield Finding("dead letters", "ok", "none")
    for reason, count in reasons.most_common():
        yield Finding(
            "dead letters",
            "warning",
            f"{count} for {reason}",
            f"`copyloop streams dead-letter list --reason {reason}`, then mend and replay",
        )


def _keys(patient: Patient) -> Iterator[Finding]:
    ring = KeyRing(patient.log, lambda: patient.now_ms)
    ring.catch_up()
    active = ring.active()
    try:
        check_exposure(patient.settings, ring)
    except SettingError as error:
        yield Finding("keys", "failure", str(error), "as it says")
    if ring.has_keys and not active and not patient.settings.jwt_jwks_url:
        yield Finding(
            "keys",
            "failure",
            "no key opens anything: nobody may ask the API anything",
            "`copyloop keys create`",
        )
    for key in active:
        if key.expires_ms is not None and key.expires_ms - patient.now_ms < SOON_MS:
            days = (key.expires_ms - patient.now_ms) / 86_400_000
            yield Finding(
                "keys",
                "warning",
                f"key {key.id} ({key.name}) ends in {days:.1f} days",
                "make another in time",
            )
        if "admin" in key.scopes and {"rank", "reward"} & set(key.scopes):
            yield Finding(
                "keys",
                "warning",
                f"key {key.id} ({key.name}) asks and administers",
                "give each use a key of its own, that may no more than it needs",
            )
    if active:
        yield Finding("keys", "ok", f"{len(active)} of {len(ring.every())} keys are active")
    elif not ring.has_keys:
        yield Finding("keys", "ok", f"none; everyone on {patient.settings.host} may do everything")


def _protection(patient: Patient) -> Iterator[Finding]:
    snapshots = Snapshots(patient.log)
    snapshots.start()
    snapshots.stop()
    try:
        shield = PrivacyFilter(patient.settings.private_salt, patient.settings.reward_secret)
    except SettingError:
        return
    protected = [p for p in snapshots.catalogue.placements() if p.protection]
    for placement in protected:
        try:
            shield.check(placement)
        except RequestError as error:
            yield Finding("protection", "failure", str(error), "ranks of it are refused until then")
            continue
        yield Finding("protection", "ok", f"{placement.name!r} is protected, secrets are there")
