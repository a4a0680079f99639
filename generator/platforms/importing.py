"""Takes ads into a placement: creatives in the catalogue, and what they earned as evidence.

All of a file is read before anything is written. Ads that are there already are known by their id,
or by their text and details, so the same file may come again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from bandit.features.flatten import creative_features
from bandit.learning.imported import take_in
from bandit.policies import check_policy, default_policy
from generator.errors import AdsFileError
from generator.platforms.ads import MOST_TOLD, Ad, AdStatus, identity
from generator.platforms.evidence import Seen, click_reward, counted, decisions
from streams.catalogue.state import Catalogue, catalogue_key
from streams.catalogue.writer import CatalogueWriter, Condition
from streams.events import AdDetails, Creative, Placement, RewardRule
from streams.events.fields import check_id
from streams.logs.base import Log

GROUPS = ("Ad Group", "Ad group", "Ad Set Name", "ad_group")
"""Columns that say in whose company an ad was shown."""


class Plan(NamedTuple):
    """What a file would change: creatives that are new, those known, and what was seen of either.

    `merged` counts rows that say the same ad again, whose figures were added.
    """

    new: list[Creative]
    known: list[Creative]
    seen: list[Seen]
    merged: int


class Imported(NamedTuple):
    """What was taken in.

    `showings` are those that are new in the log, `known_showings` those that were there; `notes`
    say what was not done and why.
    """

    new: int
    known: int
    merged: int
    showings: int = 0
    known_showings: int = 0
    notes: tuple[str, ...] = ()


def new_placement(name: str) -> Placement:
    """Returns a placement as one is made that nobody has configured.

    Raises:
        AdsFileError: no address can hold its name.
    """
    try:
        check_id("placement", name)
    except ValueError as error:
        raise AdsFileError(str(error)) from error
    if name in (".", "..") or not name.isprintable() or set("#?%") & set(name):
        raise AdsFileError(f"placement is {name!r}, which no address can hold; take another name")
    rule = RewardRule()
    return Placement(name=name, policy=check_policy(default_policy(rule), "realtime", rule))


def planned(
    catalogue: Catalogue,
    placement: str,
    ads: Sequence[tuple[int, Ad]],
    *,
    status: AdStatus | None,
    now_ms: int,
    progress: Callable[[int, int], None],
) -> Plan:
    """Returns what the ads would change; changes nothing.

    Args:
        catalogue: as it is.
        placement: whose the ads become.
        ads: each with its row.
        status: of new creatives, None for what the file says.
        now_ms: since when they are there.
        progress: told how many ads were looked at, and of how many.

    Raises:
        AdsFileError: an id that has another text already, here or in the file, or a text has a NUL.
    """
    _check_zeros(ads)
    there = {c.id: c for c in catalogue.creatives(placement)}
    by_text = {identity(c.parts, c.ad or AdDetails()): c for c in there.values()}
    found: dict[str, Creative] = {}
    figures: dict[str, tuple[int, int]] = {}
    new: list[Creative] = []
    known: list[Creative] = []
    merged = 0
    for done, (row, ad) in enumerate(ads, 1):
        before = by_text.get(ad.identity()) if ad.id is None else there.get(ad.id)
        creative_id = before.id if before is not None else ad.id or ad.identity()
        earlier = found.get(creative_id) or before
        if earlier is not None and (earlier.parts, earlier.ad or AdDetails()) != (ad.parts, ad.ad):
            raise AdsFileError(
                f"row {row}: creative {creative_id!r} has another text already, and what is known "
                "of it would be said of this one; leave the id out to add it, and nothing was "
                "taken in"
            )
        merged += creative_id in found
        if creative_id not in found:
            made = before or _creative(ad, creative_id, placement, status or ad.status, now_ms)
            found[creative_id] = made
            (new if before is None else known).append(made)
        impressions, clicks = figures.get(creative_id, (0, 0))
        figures[creative_id] = impressions + (ad.impressions or 0), clicks + (ad.clicks or 0)
        progress(done, len(ads))
    seen = [Seen(each, *figures[name], _group(each)) for name, each in found.items()]
    return Plan(new, known, seen, merged)


def _check_zeros(ads: Sequence[tuple[int, Ad]]) -> None:
    bad = [f"row {row}: {why}" for row, ad in ads if (why := _zero_in(ad))]
    if bad:
        more = [f"and {len(bad) - MOST_TOLD} more"] if len(bad) > MOST_TOLD else []
        told = "\n".join([*bad[:MOST_TOLD], *more])
        raise AdsFileError(
            f"{len(bad)} of {len(ads)} ads cannot be taken in, and nothing was:\n{told}"
        )


def _zero_in(ad: Ad) -> str | None:
    """Returns which text has a NUL, which no platform and few programs take."""
    beside = {"final_url": ad.ad.final_url, "image": ad.ad.image, **ad.ad.booked}
    paths = {f"display_path_{n}": path for n, path in enumerate(ad.ad.display_path, 1)}
    for name, text in {**ad.parts, **paths, **beside, "id": ad.id}.items():
        if "\0" in f"{name}{text or ''}":
            return f"{name} has a NUL character in {(text or '')[:40]!r}; take it out"
    return None


def take_in_ads(
    log: Log,
    placement: str,
    plan: Plan,
    *,
    by: str,
    at_ms: int,
    most: int,
    progress: Callable[[int, int], None],
) -> Imported:
    """Writes what was planned: the creatives all at once, then what was seen of them.

    One writer at a time: who writes must keep others from it. Where it is stopped in between, the
    same file brings the rest.

    Args:
        log: that has its topics.
        placement: made if it is not there.
        plan: of the same log.
        by: who does so.
        at_ms: when the figures are of.
        most: what a creative's impressions count as, at most; 0 for nothing.
        progress: told how many showings were taken in, and of how many.

    Raises:
        ChangeRefused: somebody else changed the catalogue at the same moment.
    """
    writer = CatalogueWriter(log)
    settings = writer.catalogue.placement(placement)
    if settings is None:
        settings = new_placement(placement)
        name, made = catalogue_key(settings), settings
        writer.commit([name], lambda: [made], by, Condition(absent=True))
    if plan.new:
        writer.commit(list(map(catalogue_key, plan.new)), lambda: _absent(writer, plan.new), by)
    told = Imported(len(plan.new), len(plan.known), plan.merged)
    found = counted(plan.seen, most) if most else []
    if not found:
        return told
    if click_reward(settings.reward) is None:
        note = f"placement {placement!r} does not reward clicks, so what was clicked says nothing"
        return told._replace(notes=(f"{note}; give its reward the kind 'click'",))
    total, done = sum(each.showings for each in found), 0

    def move(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    events = decisions(found, placement, settings.reward, at_ms)
    taken = take_in(log, placement, events, progress=move)
    return told._replace(showings=taken.new, known_showings=taken.known)


def _absent(writer: CatalogueWriter, creatives: Sequence[Creative]) -> list[Creative]:
    """Returns the creatives that nobody has added meanwhile."""
    return [each for each in creatives if writer.catalogue.as_it_is(each) is None]


def _creative(ad: Ad, creative_id: str, placement: str, status: AdStatus, now_ms: int) -> Creative:
    return Creative(
        id=creative_id,
        placement=placement,
        parts=ad.parts,
        status=status,
        timestamp_ms=now_ms,
        features=creative_features(ad.parts) if ad.features is UNSET else ad.features,
        reason=ad.reason,
        lineage=ad.lineage,
        caps=ad.caps,
        ad=UNSET if ad.ad == AdDetails() else ad.ad,
    )


def _group(creative: Creative) -> str:
    """Returns the ad group of a creative, with its campaign; empty where none is known."""
    booked = creative.ad.booked if creative.ad else {}
    group = next((booked[name] for name in GROUPS if name in booked), "")
    return msgspec.json.encode((booked.get("Campaign", ""), group)).decode()


def exported(
    creatives: Iterable[Creative], statuses: Sequence[str], ids: Sequence[str] = ()
) -> list[Ad]:
    """Returns those of the creatives that are wanted, as ads of a file.

    Raises:
        AdsFileError: there are none, or an id is not among them.
    """
    every = list(creatives)
    unknown = sorted(set(ids) - {each.id for each in every})
    if unknown:
        raise AdsFileError(f"there is no creative {unknown[0]!r} in the placement")
    kept = [c for c in every if (c.id in ids if ids else c.status in statuses)]
    if not kept:
        raise AdsFileError(
            f"none of {len(every)} creatives is {' or '.join(statuses)}; name others by --status"
        )
    return [Ad.of(each) for each in kept]
