"""From a brief to whole creatives: every piece that its channel asks for, put together.

Pieces of one kind differ from each other over all creatives of a generation, so those that a
platform shows side by side, in whatever order, never say the same.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from generator.brief.channels import Asset, Channel, load_channel
from generator.brief.schema import Brief, brief_hash
from generator.errors import BriefError, ChannelUnknown
from generator.models.base import Backend
from generator.screening.screen import Screen
from generator.screening.settings import Thresholds
from generator.writing.texts import (
    AS_THEY_COME,
    USUAL,
    Piece,
    Style,
    TextSelection,
    WrittenText,
    generate,
    summary,
)
from streams.events import Lineage

LEAST_ROOM: Final = 15
"""What a required claim must leave of the piece that it is added to."""

CreativeProgress: TypeAlias = Callable[[str, int, int, float], None]
"""Told the piece at hand, how many of it are there and wanted, and the share of all work done."""


class Draft(NamedTuple):
    """A whole creative: its parts as they are shown, and the text that each was made of.

    A part that nobody wrote anew, such as the brand's name, has no text in `written`.
    """

    parts: dict[str, str]
    written: dict[str, WrittenText]


class Drafts(NamedTuple):
    """What came of a generation: whole creatives, what was refused, and what was left over.

    `repeated` are the kinds of pieces of which the model wrote the same texts over and over.
    """

    creatives: list[Draft]
    rejected: list[WrittenText]
    left_over: list[WrittenText]
    repeated: tuple[str, ...] = ()

    def summary(self) -> str:
        """Returns how many texts were accepted, and how often each gate refused."""
        used = sum(len(draft.written) for draft in self.creatives)
        said = summary(used + len(self.left_over), self.rejected)
        return f"{said}; {len(self.left_over)} left over" if self.left_over else said

    def shortfall(self, asked: int) -> str | None:
        """Returns how many creatives are missing and what for, None where all were made."""
        made = len(self.creatives)
        if made >= asked:
            return None
        codes = Counter(c.rejection.code for c in self.rejected if c.rejection)
        parts = [f"{count} texts refused as {code}" for code, count in codes.most_common(3)]
        others = codes.total() - sum(count for _, count in codes.most_common(3))
        parts += [f"{others} for other reasons"] if others else []
        said = f"{asked} asked, {made} made: {', '.join(parts) or 'the model wrote nothing'}"
        if not self.repeated:
            return said
        return (
            f"{said}; of {' and '.join(self.repeated)} the model only repeated what it had "
            "written, so it was asked for no more; raise --temperature, or take another model"
        )


def channel_of(brief: Brief) -> Channel:
    """Returns the brief's channel; without one, a creative is a headline as long as it says."""
    if brief.environment.channel is not None:
        return load_channel(brief.environment.channel)
    headline = Asset(
        name="headline",
        form="line",
        max_units=brief.constraints.max_characters,
        claims=True,
        source="the brief",
    )
    return Channel(
        name="headline", title="Headline", counting="characters", checked="", assets=(headline,)
    )


def screen_of(brief: Brief, part: str | None, thresholds: Thresholds) -> Screen:
    """Returns the screen for one piece of the brief's channel, counted as the channel counts.

    Args:
        brief: what the texts are for.
        part: the name of the piece, as `headline` or `headline_2`; None for the first one.
        thresholds: what the gates let through.

    Raises:
        ChannelUnknown: the channel has no such piece; the message names those that it has.
    """
    channel = channel_of(brief)
    asset = channel.assets[0] if part is None else _asset(channel, part)
    limits = replace(brief.constraints, max_characters=asset.max_units)
    return Screen(
        replace(brief, constraints=limits),
        counting=channel.counting,
        thresholds=thresholds,
        whole=asset.claims,
    )


def _asset(channel: Channel, part: str) -> Asset:
    names = [asset.name for asset in channel.assets]
    found = channel.asset_of(part)
    if found is None and part in names:
        found = channel.assets[names.index(part)]
    if found is None:
        raise ChannelUnknown(
            f"{channel.title} has no part {part!r}; expected one of {', '.join(names)}"
        )
    return found


def generate_creatives(
    brief: Brief,
    backend: Backend,
    *,
    n: int,
    seed: int,
    style: Style = USUAL,
    existing: Mapping[str, Sequence[str]] | None = None,
    winners: Mapping[str, Sequence[str]] | None = None,
    adapter: str | None = None,
    plain: bool = False,
    selection: TextSelection = AS_THEY_COME,
    progress: CreativeProgress | None = None,
    stop: threading.Event | None = None,
) -> Drafts:
    """Returns up to `n` whole creatives, and the texts that did not get into one.

    Required claims stand word for word at the end of the piece that the channel has for them.
    Where too few texts of a kind pass, there are fewer creatives, or smaller ones.

    The arguments are those of `generate`, but that `n` counts whole creatives, and that `existing`
    and `winners` are by kind of piece.

    Raises:
        BriefError: the brief's brand or claims are too long for the channel.
        BackendError: the model failed.
    """
    channel = channel_of(brief)
    work = [(a, p, k) for a in channel.assets for p, k in _pieces(a, brief, channel, n)]
    total = sum(count for _, _, count in work)
    accepted: dict[str, list[WrittenText]] = {}
    rejected: list[WrittenText] = []
    repeated: list[str] = []
    done = 0
    for number, (asset, piece, count) in enumerate(work):
        so_far = accepted.setdefault(asset.name, [])
        taken = [c.text for found in accepted.values() for c in found]

        def report(got: int, spent: float, p: Piece = piece, k: int = count, d: int = done) -> None:
            if progress is not None:
                progress(p.name, got, k, (d + k * max(spent, got / k)) / total)

        result = generate(
            brief,
            backend,
            n=count,
            seed=seed + number,
            piece=piece,
            style=style,
            existing=[*(existing or {}).get(asset.name, ()), *taken],
            winners=(winners or {}).get(asset.name, ()),
            adapter=adapter,
            plain=plain,
            selection=selection,
            progress=report,
            stop=stop,
        )
        so_far += result.accepted
        rejected += result.rejected
        repeated += [asset.name] if result.repeated else []
        done += count
    drafts = _put_together(channel, brief, accepted, n)
    used = {id(c) for draft in drafts for c in draft.written.values()}
    unused = [c for found in accepted.values() for c in found if id(c) not in used]
    return Drafts(drafts, rejected, unused, tuple(dict.fromkeys(repeated)))


def check_pieces(brief: Brief) -> None:
    """Checks that the brief leaves room for every piece of its channel, as `generate` needs it.

    Raises:
        BriefError: the brand is missing or too long, or the required claims leave no room.
    """
    channel = channel_of(brief)
    for asset in channel.assets:
        _pieces(asset, brief, channel, 1)


def _pieces(asset: Asset, brief: Brief, channel: Channel, n: int) -> list[tuple[Piece, int]]:
    """Returns what is written for an asset, and how often; the short ones first."""
    if asset.form == "brand":
        _brand(asset, brief, channel)
        return []
    piece = Piece.of(asset, channel.counting)
    room = _room(asset, asset.max_units, brief, channel)
    if asset.one_within is None:
        return [(piece._replace(max_units=room), asset.write * n)]
    short = _room(asset, asset.one_within, brief, channel)
    rest = [(piece._replace(max_units=room), (asset.write - 1) * n)] if asset.write > 1 else []
    return [(piece._replace(max_units=short), n), *rest]


def _room(asset: Asset, max_units: int, brief: Brief, channel: Channel) -> int:
    """Returns what the required claims leave to the writer."""
    if not asset.claims or not brief.constraints.required_claims:
        return max_units
    claims = channel.units(_with_claims("", brief))
    if max_units - claims < LEAST_ROOM:
        raise BriefError(
            f"constraints.required_claims: take {claims} of the {max_units} characters of a "
            f"{channel.title}'s {asset.name}; leave at least {LEAST_ROOM}, or choose another "
            "channel"
        )
    return max_units - claims


def _with_claims(text: str, brief: Brief) -> str:
    return " ".join((text, *brief.constraints.required_claims))


def _brand(asset: Asset, brief: Brief, channel: Channel) -> str:
    if brief.brand is None:
        raise BriefError(f"brand: is missing; a {channel.title} shows it")
    if channel.units(brief.brand) > asset.max_units:
        raise BriefError(
            f"brand: has {channel.units(brief.brand)} characters; at most {asset.max_units} in a "
            f"{channel.title}"
        )
    return brief.brand


def _put_together(
    channel: Channel, brief: Brief, accepted: dict[str, list[WrittenText]], n: int
) -> list[Draft]:
    """Deals the texts out: in turn, so that each creative has some of every frame."""
    written = [asset for asset in channel.assets if asset.form != "brand"]
    whole = min(n, *(_enough_for(asset, accepted[asset.name]) for asset in written))
    drafts = []
    for number in range(whole):
        draft = Draft({}, {})
        for asset in channel.assets:
            if asset.form == "brand":
                draft.parts[asset.name] = _brand(asset, brief, channel)
                continue
            mine = accepted[asset.name][number::whole][: asset.write]
            for part, candidate in zip(asset.part_names(), mine, strict=False):
                said = candidate.text
                draft.parts[part] = _with_claims(said, brief) if asset.claims else said
                draft.written[part] = candidate
        drafts.append(draft)
    return drafts


def _enough_for(asset: Asset, accepted: Sequence[WrittenText]) -> int:
    """Returns how many creatives the texts of one kind are enough for."""
    enough = len(accepted) // asset.least
    if asset.one_within is None:
        return enough
    # Those written to be short come first, so dealing in turn gives each creative one of them.
    return min(enough, sum(c.piece.max_units <= asset.one_within for c in accepted))


def lineage(draft: Draft, brief: Brief, *, seed: int, parents: Mapping[str, str]) -> Lineage:
    """Returns where a creative comes from; of several parts, each has a lineage of its own.

    `parents` says which creative each winning text is of.
    """
    parts = {
        part: candidate_lineage(candidate, parents) for part, candidate in draft.written.items()
    }
    common = Lineage(brief=brief_hash(brief), seed=seed)
    if len(parts) == 1:
        [only] = parts.values()
        return replace(only, brief=common.brief, seed=seed)
    models = {part.model for part in parts.values()}
    adapters = {part.adapter for part in parts.values()}
    return replace(
        common,
        model=models.pop() if len(models) == 1 else None,
        adapter=adapters.pop() if len(adapters) == 1 else None,
        parts=parts,
    )


def candidate_lineage(candidate: WrittenText, parents: Mapping[str, str]) -> Lineage:
    """Returns where one text comes from."""
    prompt = candidate.prompt
    return Lineage(
        model=candidate.model,
        adapter=candidate.adapter,
        prompt=prompt.label,
        frame=prompt.frame,
        segment=prompt.segment,
        parent=parents.get(prompt.winner) if prompt.winner else None,
        scores=dict(candidate.scores),
    )


def texts_by_piece(channel: Channel, parts: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """Returns the texts of creatives' parts by the kind of piece that they are."""
    found: dict[str, list[str]] = {}
    for one in parts:
        for part, text in one.items():
            asset = channel.asset_of(part)
            if asset is not None:
                found.setdefault(asset.name, []).append(text)
    return found
