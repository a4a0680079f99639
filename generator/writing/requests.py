"""One request for creatives, from the log and back: the brief, the texts, the events to write."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from bandit.features.flatten import creative_features
from generator.brief.channels import Channel
from generator.brief.schema import Brief, brief_from_json
from generator.errors import PlacementUnknown
from generator.material.understanding import Understanding, understand
from generator.models.base import Backend, Usage
from generator.models.catalog import Models
from generator.screening.screen import OUTRANKED
from generator.screening.settings import CODES
from generator.writing.creatives import (
    Drafts,
    candidate_lineage,
    channel_of,
    generate_creatives,
    lineage,
    texts_by_piece,
)
from generator.writing.insights import Impression, with_insights
from generator.writing.texts import TAUGHT, USUAL, TextSelection
from streams.catalogue.state import Catalogue
from streams.events import EMPTY, Creative, CreativeStatus, Generation, Lineage

SEEN_STATUSES: Final = frozenset({"proposed", "screened", "live", "paused", "retired"})


class ActiveVersion(NamedTuple):
    """The version of the generator that writes, and what its backend calls it; None: bare model."""

    version: str | None = None
    adapter: str | None = None


class HandledRequest(NamedTuple):
    """What came of a request: the drafts, the events that say so, and what the model used."""

    drafts: Drafts
    events: list[Creative | Generation]
    used: Usage


class RequestHandler(NamedTuple):
    """Handles requests for creatives.

    Attributes:
        backend: opens the model that writes.
        impressions: returns what a placement showed lately; it is asked only if a brief's
            segments are to be learned from it.
        models: what looks at material and listens.
        material: the folder of the files of briefs' material.
        selection: which texts are the best, as far as the log tells.
        version: which version is to write.
    """

    backend: Callable[[], Backend]
    impressions: Callable[[str], Sequence[Impression]]
    models: Models
    material: Path
    selection: Callable[[Catalogue], TextSelection]
    version: Callable[[Catalogue, Generation], ActiveVersion]

    def handle(
        self, catalogue: Catalogue, generation: Generation, stop: threading.Event
    ) -> HandledRequest:
        """Returns the creatives that a request asks for, and what to write to the log.

        Raises:
            GeneratorError: the request cannot be answered.
        """
        brief = brief_from_json(generation.brief)
        placement = generation.placement
        settings = catalogue.placement(placement)
        if settings is None:
            raise PlacementUnknown(f"there is no placement {placement!r} any more")
        channel = channel_of(brief)
        understood = understand(brief, self.models, base=self.material, confined=True)
        earlier = [
            creative
            for creative in catalogue.creatives(placement)
            if _counts(creative) and creative.lineage.generation_id != generation.id
        ]
        active = self.version(catalogue, generation)
        model = self.backend()
        before = Usage() + model.usage
        drafts = generate_creatives(
            self._learned(understood.brief, catalogue, placement),
            model,
            n=generation.n,
            seed=generation.seed,
            existing=texts_by_piece(channel, (creative.parts for creative in earlier)),
            winners=winners_by_piece(channel, generation.winners, earlier),
            adapter=active.adapter,
            plain=active.version is not None,
            style=USUAL if active.version is None else TAUGHT,
            selection=self.selection(catalogue),
            stop=stop,
        )
        parents = {text: creative.id for creative in earlier for text in creative.parts.values()}
        status: CreativeStatus = "screened" if settings.review else "live"
        made = [
            _creative(
                generation,
                "\n".join(text for _, text in sorted(draft.parts.items())),
                _by(active, lineage(draft, brief, seed=generation.seed, parents=parents)),
                parts=draft.parts,
                status=status,
                features=_features(draft.parts, understood),
                ad=brief.ad,
            )
            for draft in drafts.creatives
        ]
        refused = [
            _creative(
                generation,
                each.text,
                _by(active, candidate_lineage(each, parents)),
                parts={each.piece.name: each.text},
                status="rejected",
                features=EMPTY,
                reason=str(each.rejection),
            )
            for each in drafts.rejected
            if each.text  # a server may have withheld it
        ]
        creatives = _unwritten(catalogue, [*made, *refused])
        short = len(drafts.creatives) < generation.n
        finished = replace(
            generation,
            status="done" if drafts.creatives else "failed",
            accepted=len(drafts.creatives),
            rejected=len(drafts.rejected),
            reason=f"too_few_passed: {drafts.summary()}" if short else None,
        )
        return HandledRequest(drafts, [*creatives, finished], model.usage - before)

    def _learned(self, brief: Brief, catalogue: Catalogue, placement: str) -> Brief:
        """Returns the brief with what its segments clicked on, where it says which they are."""
        if not any(segment.context for segment in brief.segments):
            return brief
        texts = {
            creative.id: " ".join(creative.parts.values())
            for creative in catalogue.creatives(placement)
        }
        return with_insights(brief, self.impressions(placement), texts)


def winners_by_piece(
    channel: Channel, winners: Sequence[str], earlier: Sequence[Creative]
) -> dict[str, list[str]]:
    """Returns the winning texts by the kind of piece they are; unknown ones are of the first."""
    known = texts_by_piece(channel, (creative.parts for creative in earlier))
    first = channel.assets[0].name
    found: dict[str, list[str]] = {}
    for winner in winners:
        piece = next((name for name, texts in known.items() if winner in texts), first)
        found.setdefault(piece, []).append(winner)
    return found


def _unwritten(catalogue: Catalogue, creatives: Iterable[Creative]) -> list[Creative]:
    """Returns each creative once, but for those that a request that was cut short has written."""
    first: dict[str, Creative] = {}
    for creative in creatives:
        first.setdefault(creative.id, creative)
    return [c for c in first.values() if catalogue.creative(c.placement, c.id) is None]


def _counts(creative: Creative) -> bool:
    """Returns whether new texts must differ from it: it is there, or a person rejected it."""
    by_gate = (creative.reason or "").partition(":")[0] in {*CODES, OUTRANKED}
    return creative.status in SEEN_STATUSES or not by_gate


def _creative(generation: Generation, text: str, origin: Lineage, **known: Any) -> Creative:
    return Creative(
        id=creative_id(generation.id, text),
        placement=generation.placement,
        # The request's own time: done again after a crash, it writes the same bytes again.
        timestamp_ms=generation.timestamp_ms,
        lineage=replace(origin, generation_id=generation.id, seed=generation.seed),
        **known,
    )


def _by(active: ActiveVersion, origin: Lineage) -> Lineage:
    """Returns the lineage with the version in it, in place of what the backend calls it."""
    if active.version is None:
        return origin
    parts = {name: _by(active, part) for name, part in origin.parts.items()}
    return replace(origin, adapter=active.version, parts=parts)


def _features(parts: Mapping[str, str], understood: Understanding) -> Raw:
    """Returns what policies read of a creative: its text, and what the brief's material shows."""
    plain = creative_features(parts)
    shown = understood.features(" ".join(parts.values()))
    return Raw(msgspec.json.encode(msgspec.json.decode(plain) | shown)) if shown else plain


def creative_id(generation_id: str, text: str) -> str:
    """Returns the id of this text from this generation: 16 hexadecimal digits.

    >>> creative_id("g-1", "Fresh beans, daily")
    '5a85c675bdbb1768'
    """
    return hashlib.blake2b(f"{generation_id}\n{text}".encode(), digest_size=8).hexdigest()
