"""From a log to evidence: interactions, the creatives they showed, and the briefs behind those."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from generator.brief import Brief, brief_from_json, brief_hash
from generator.brief.prompts import Form, plain_prompt
from generator.data.dataset_files import LogRange
from generator.data.evidence import Evidence, gather
from generator.data.fraud import ClickLook, suspicions
from generator.data.refusals import Refusal
from generator.writing.creatives import channel_of
from streams.catalogue import Catalogue, CatalogueReader
from streams.events import INTERACTIONS, Creative, Interaction, decode
from streams.log import Log, TopicPartition

Progress: TypeAlias = Callable[[int, int], None]
"""Told how many interactions were read, and how many there are."""


class Reading:
    """What a log says of creatives, and which of its records say so.

    Attributes:
        evidence: of every creative that was shown.
        log: the interactions that were read.
        suspicious: creatives whose clicks are not to be believed, and why.
    """

    def __init__(
        self,
        log: Log,
        *,
        placement: str | None = None,
        segment_field: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Reads the log up to its present end.

        Raises:
            DatasetError: a reward is outside [0, 1].
            EventError: a record cannot be read.
        """
        reader = CatalogueReader(log)
        reader.catch_up()
        self._catalogue: Catalogue = reader.catalogue
        self._briefs: dict[str, Brief] = {}
        self._ranges: list[LogRange] = []
        creatives = {
            (creative.placement, creative.id): creative
            for name in reader.catalogue.placements()
            if placement in (None, name.name)
            for creative in reader.catalogue.creatives(name.name)
        }
        self._rejected = [each for each in creatives.values() if each.status == "rejected"]
        look = ClickLook(
            {
                each.name: [kind for kind, counted in each.reward.kinds.items() if counted.weight]
                for each in reader.catalogue.placements()
            }
        )
        interactions = look.passing(self._interactions(log, progress))
        self.evidence = gather(interactions, creatives, segment_field=segment_field)
        self.suspicious = tuple(suspicions(look, self.evidence))
        self.log = tuple(self._ranges)

    def prompt_of(self, evidence: Evidence) -> str | None:
        """Returns the prompt that a creative's text goes on from; None where no brief is known."""
        brief = self._brief(evidence.creative)
        return None if brief is None else _prompt(evidence.creative, brief)

    def refusals(self) -> list[Refusal]:
        """Returns the texts that the gates refused, of the placements that were read."""
        found = []
        for creative in self._rejected:
            brief = self._brief(creative)
            code, _, _ = (creative.reason or "").partition(":")
            if brief is not None and len(creative.parts) == 1:
                [text] = creative.parts.values()
                prompt = _prompt(creative, brief)
                found.append(Refusal(prompt, text, brief_hash(brief), creative.placement, code))
        return found

    def _brief(self, creative: Creative) -> Brief | None:
        generation_id = creative.lineage.generation_id
        if generation_id is None:
            return None
        if generation_id not in self._briefs:
            generation = self._catalogue.generation(generation_id)
            if generation is None:
                return None
            self._briefs[generation_id] = brief_from_json(generation.brief)
        return self._briefs[generation_id]

    def _interactions(self, log: Log, progress: Progress | None) -> Iterator[Interaction]:
        partitions = [TopicPartition(INTERACTIONS, n) for n in range(log.partitions(INTERACTIONS))]
        ends = {partition: log.end_offset(partition) for partition in partitions}
        total = sum(end - log.start_offset(partition) for partition, end in ends.items())
        done = 0
        for partition, end in ends.items():
            offset = first = log.start_offset(partition)
            digest = hashlib.sha256()
            while offset < end and (records := log.read(partition, offset)):
                for record in (each for each in records if each.offset < end):
                    digest.update(record.value)
                    event = decode(record.value)
                    if isinstance(event, Interaction):
                        yield event
                done += len(records)
                offset = records[-1].offset + 1
                if progress is not None:
                    progress(min(done, total), total)
            if end > first:
                self._ranges.append(
                    LogRange(partition.partition, first, end - 1, digest.hexdigest())
                )


def _prompt(creative: Creative, brief: Brief) -> str:
    [part] = creative.parts if len(creative.parts) == 1 else [None]
    asset = channel_of(brief).asset_of(part) if part is not None else None
    form: Form = "sentence" if asset is not None and asset.form == "sentence" else "line"
    return plain_prompt(brief, segment=creative.lineage.segment, form=form)
