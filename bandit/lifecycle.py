"""What the status of a creative, and of a version of the generator, may become.

The API's routes and the commands keep to the same rules; the commands work on the log itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from msgspec import UNSET
from msgspec.structs import replace

from bandit.errors import GeneratorVersionError, GeneratorVersionUnknown, ReviewError
from streams.catalogue.state import Catalogue
from streams.catalogue.writer import CatalogueWriter, Condition
from streams.events import EMPTY, Catalogued, Creative, CreativeStatus, Generation
from streams.events.creatives import Canary, GeneratorVersion, VersionStatus

TRANSITIONS: Final[dict[CreativeStatus, tuple[CreativeStatus, ...]]] = {
    "proposed": ("screened", "rejected"),
    "screened": ("live", "rejected"),
    "live": ("paused", "retired", "rejected"),
    "paused": ("live", "retired", "rejected"),
    "retired": ("rejected",),
    "rejected": (),
}
"""From which status a creative may go to which, without a person's review."""
WAITING: Final[tuple[CreativeStatus, ...]] = ("proposed", "screened")
"""The statuses of creatives that wait for a review."""
REVIEWED_TO: Final[dict[CreativeStatus, tuple[CreativeStatus, ...]]] = {
    "proposed": ("live", "rejected"),
    "screened": ("live", "rejected"),
    "live": ("rejected",),
    "paused": ("rejected",),
    "retired": ("rejected",),
    "rejected": (),
}
"""What a review may make of a creative: anything that is not rejected yet may be."""


def creatives_with(
    catalogue: Catalogue,
    placement: str | None = None,
    statuses: Sequence[CreativeStatus] = WAITING,
) -> list[Creative]:
    """Returns the creatives with one of these statuses, by placement, the oldest first.

    Raises:
        ReviewError: there is no placement by that name.
    """
    names = [found.name for found in catalogue.placements()]
    if placement is not None and placement not in names:
        known = ", ".join(names) or "none"
        raise ReviewError(f"there is no placement {placement!r}; the log has: {known}")
    wanted = names if placement is None else [placement]
    found = [creative for name in wanted for creative in catalogue.creatives(name)]
    return [creative for creative in found if creative.status in statuses]


def review(
    writer: CatalogueWriter,
    placement: str,
    creative_id: str,
    reason: str | None,
    by: str,
    condition: Condition | None = None,
) -> Creative:
    """Makes a creative live that waits for a review, or rejects it with a reason; returns it.

    Args:
        writer: of the log that has the creative.
        placement: whose it is.
        creative_id: which it is.
        reason: of a rejection, which is possible whatever the creative is but rejected already;
            None to approve it.
        by: who reviews it.
        condition: what it was when it was read, None for what it is now.

    Raises:
        ReviewError: there is no such creative, the review cannot make it so, or a blank reason.
        ChangeRefused: somebody else changed it since; nothing was changed.
    """
    if reason is not None and not reason.strip():
        raise ReviewError("a rejection needs a reason: the generator keeps clear of it, too")
    status: CreativeStatus = "live" if reason is None else "rejected"

    def reviewed() -> list[Creative]:
        before = writer.catalogue.creative(placement, creative_id)
        if before is None:
            raise ReviewError(f"placement {placement!r} has no creative {creative_id!r}")
        if status not in REVIEWED_TO[before.status]:
            raise ReviewError(
                f"creative {creative_id!r} is {before.status}; a review cannot make it {status}, "
                f"but those that are {' or '.join(WAITING)} wait for one"
            )
        return [replace(before, status=status, reason=reason and reason.strip())]

    name = f"creative/{placement}/{creative_id}"
    writer.commit([name], reviewed, by, condition or writer.as_seen(name))
    return writer.catalogue.creatives_by_id(placement)[creative_id]


VERSION_TRANSITIONS: Final[dict[VersionStatus, tuple[VersionStatus, ...]]] = {
    "candidate": ("canary", "live", "rejected"),
    "canary": ("live", "rejected"),
    "live": ("retired", "rolled_back"),
    "retired": ("live", "rejected"),
    "rolled_back": ("live", "rejected"),
    "rejected": (),
}
"""From which status a version may go to which; a rejected one never writes again."""
SHOWABLE: Final = ("proposed", "screened", "live", "paused")


def on_trial(
    catalogue: Catalogue,
    version_id: str,
    *,
    share: float,
    creatives: int,
    now_ms: int,
    by: str,
    why: str,
) -> list[Catalogued]:
    """Returns what makes a candidate the canary; one that was on trial before is rejected.

    It is asked for so many creatives in each placement that creatives were ever asked for, from
    the latest brief there, and the champion for as many, so that what is new is held against what
    is new. Together the canary's get `share` of the placement's traffic at most.

    Raises:
        GeneratorVersionError: it is no candidate; `generator_version_not_found`.
    """
    found = _moved(_version(catalogue, version_id), "canary", now_ms, by, why)
    earlier = catalogue.canary
    made: list[Catalogued] = []
    if earlier is not None:
        made = rejected(catalogue, earlier.id, now_ms=now_ms, by=by, why=f"{found.id} came after")
    asked: list[Generation] = []
    by_placement = (
        [g for g in catalogue.generations(placement.name) if g.brief != EMPTY]
        for placement in catalogue.placements()
    )
    for number, latest in enumerate(requests[-1] for requests in by_placement if requests):
        fresh = replace(
            latest,
            n=creatives,
            status="requested",
            timestamp_ms=now_ms,
            winners=(),
            accepted=0,
            rejected=0,
        )
        beside = replace(
            fresh,
            id=f"beside-{version_id}-{number}",
            # With the seed of what it wrote last, it would write that again.
            seed=latest.seed ^ 1,
            reason=f"to hold version {version_id} against, which is on trial",
            version=UNSET,
        )
        trial = replace(
            fresh,
            id=f"canary-{version_id}-{number}",
            reason=f"version {version_id} is on trial",
            version=version_id,
        )
        asked += [beside, trial]
    return [*made, replace(found, canary=Canary(since_ms=now_ms, share=share)), *asked]


class StatusChange(Protocol):
    """What gives a version another status: `promoted` or `rejected`."""

    def __call__(
        self, catalogue: Catalogue, version_id: str, *, now_ms: int, by: str, why: str
    ) -> list[Catalogued]:
        """Returns the events that do so."""


def promoted(
    catalogue: Catalogue, version_id: str, *, now_ms: int, by: str, why: str
) -> list[Catalogued]:
    """Returns what makes a version the champion; the one before retires, its creatives stay.

    Nothing is to be done where it is the champion already.

    Raises:
        GeneratorVersionError: its status forbids it; `generator_version_not_found`.
    """
    found, champion = _version(catalogue, version_id), catalogue.champion
    if champion is not None and champion.id == found.id:
        return []
    after = replace(
        _moved(found, "live", now_ms, by, why),
        replaces=None if champion is None else champion.id,
    )
    before = []
    if champion is not None:
        before = [_moved(champion, "retired", now_ms, by, f"{found.id} took its place")]
    return [*before, after]


def rejected(
    catalogue: Catalogue, version_id: str, *, now_ms: int, by: str, why: str
) -> list[Catalogued]:
    """Returns what rejects a version that is not the champion, and retires its creatives.

    Raises:
        GeneratorVersionError: its status forbids it; `generator_version_not_found`.
    """
    found = _moved(_version(catalogue, version_id), "rejected", now_ms, by, why)
    return [found, *_retired(catalogue, found.id, why)]


def rolled_back(catalogue: Catalogue, *, now_ms: int, by: str, why: str) -> list[Catalogued]:
    """Returns what takes the champion back: its creatives retire, the one before is live again.

    That is the version it replaced, or, if that was taken back itself, the one before; where there
    is none, the bare model writes.

    Raises:
        GeneratorVersionError: no version is live.
    """
    champion = catalogue.champion
    if champion is None:
        raise GeneratorVersionError(
            "no version is live, so there is none to take back: the bare model writes already"
        )
    made: list[Catalogued] = [_moved(champion, "rolled_back", now_ms, by, why)]
    before = _before(catalogue, champion)
    if before is not None:
        made.append(_moved(before, "live", now_ms, by, f"{champion.id} was rolled back"))
    return [*made, *_retired(catalogue, champion.id, why)]


def touched(catalogue: Catalogue, *version_ids: str) -> list[str]:
    """Returns the catalogue keys that a change of these versions may touch, theirs first."""
    named = [f"generator_version/{version_id}" for version_id in version_ids]
    others = [f"generator_version/{found.id}" for found in catalogue.generator_versions()]
    creatives = [
        f"creative/{found.placement}/{found.id}"
        for version_id in version_ids
        for found in creatives_of(catalogue, version_id)
    ]
    return list(dict.fromkeys([*named, *others, *creatives]))


def creatives_of(catalogue: Catalogue, version_id: str) -> Iterator[Creative]:
    """Yields the creatives that the version wrote, or a part of which it wrote."""
    for placement in catalogue.placements():
        for creative in catalogue.creatives(placement.name):
            if creative.written_by(version_id):
                yield creative


def _version(catalogue: Catalogue, version_id: str) -> GeneratorVersion:
    found = catalogue.generator_version(version_id)
    if found is None:
        known = ", ".join(each.id for each in catalogue.generator_versions()[-5:]) or "none"
        raise GeneratorVersionUnknown(
            f"there is no version {version_id!r}; the latest are: {known}"
        )
    return found


def _moved(
    version: GeneratorVersion, status: VersionStatus, now_ms: int, by: str, why: str
) -> GeneratorVersion:
    if status not in VERSION_TRANSITIONS[version.status]:
        may = ", ".join(VERSION_TRANSITIONS[version.status]) or "nothing else"
        raise GeneratorVersionError(
            f"version {version.id!r} is {version.status} and cannot become {status}; it may "
            f"become {may}"
        )
    return replace(version, status=status, timestamp_ms=now_ms, by=by, reason=why)


def _before(catalogue: Catalogue, champion: GeneratorVersion) -> GeneratorVersion | None:
    seen = {champion.id}
    name = champion.replaces
    while name is not None and name not in seen:
        seen.add(name)
        found = catalogue.generator_version(name)
        if found is None or found.status == "retired":
            return found
        name = found.replaces
    return None


def _retired(catalogue: Catalogue, version_id: str, why: str) -> Iterator[Creative]:
    for creative in creatives_of(catalogue, version_id):
        if creative.status in SHOWABLE:
            status = "retired" if creative.status in ("live", "paused") else "rejected"
            reason = f"version_withdrawn: {version_id}: {why}"
            yield replace(creative, status=status, reason=reason)
