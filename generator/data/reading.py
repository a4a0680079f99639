"""From a log to evidence: interactions, the creatives they showed, their briefs, and refused texts.

Clicks teach what is liked, and a model that learns from them alone drifts towards texts that the
gates refuse: what is liked is said twice in one line. Refusals cost no traffic and pull it back:
any text that passed is better than one that did not.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from typing import Final, NamedTuple, TypeAlias

from generator.brief.prompts import TextForm, plain_prompt
from generator.brief.schema import Brief, brief_from_json, brief_hash
from generator.data.dataset import (
    Dataset,
    EvidenceThresholds,
    Imitate,
    Judge,
    LogRange,
    Prefer,
    build_dataset,
)
from generator.data.evidence import ClickLook, Evidence, gather, suspicions
from generator.screening.settings import CODES
from generator.writing.creatives import channel_of
from streams.catalogue.state import Catalogue, CatalogueReader
from streams.events import INTERACTIONS, Creative, Interaction, interactions_in
from streams.fold import batches, ends
from streams.logs.base import Log

BESIDE_OTHERS: Final = ("cut_off", "required_claims", "duplicate", "crowding")
"""Refusals that say nothing against a text by itself."""
TAUGHT: Final = tuple(code for code in CODES if code not in BESIDE_OTHERS)
WEIGHT: Final = 1.0
"""What such a pair is worth: as much as one that traffic is sure of, since a gate is sure, too."""
RowProgress: TypeAlias = Callable[[int, int], None]
"""Told how many interactions were read, and how many there are."""


class RefusedText(NamedTuple):
    """A text that a gate refused: what it went on from, for which brief and placement, and why."""

    prompt: str
    text: str
    brief: str
    placement: str
    code: str


def with_refusals(
    dataset: Dataset, evidence: Sequence[Evidence], refusals: Iterable[RefusedText]
) -> Dataset:
    """Returns the dataset with a pair for each refusal by a gate that reads a text by itself.

    The better texts are those that were shown for the same brief and placement, in turn. Briefs
    without any other row are passed over, as it is not known what they are for.

    Args:
        dataset: what traffic teaches.
        evidence: of `gather`; who was left out of the dataset as suspicious is not used here.
        refusals: in any order.
    """
    doubted = {(each.placement, each.creative_id) for each in dataset.suspicious}
    rows: list[Imitate | Prefer | Judge] = [*dataset.imitate, *dataset.prefer, *dataset.judge]
    splits = {row.brief: row.split for row in rows}
    passed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in evidence:
        creative, brief = each.creative, each.creative.lineage.brief
        known = brief in splits and (creative.placement, creative.id) not in doubted
        if brief is not None and known and len(creative.parts) == 1:
            passed[creative.placement, brief] += creative.parts.values()
    turns = {key: cycle(texts) for key, texts in passed.items()}
    pairs = [
        Prefer(
            prompt=each.prompt,
            better=next(turns[each.placement, each.brief]),
            worse=each.text,
            brief=each.brief,
            placement=each.placement,
            segment="",
            weight=WEIGHT,
            split=splits[each.brief],
            refused=True,
        )
        for each in refusals
        if each.code in TAUGHT and (each.placement, each.brief) in turns
    ]
    return dataset._replace(prefer=[*dataset.prefer, *pairs])


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
        progress: RowProgress | None = None,
    ) -> None:
        """Reads the log up to its present end.

        Raises:
            DatasetError: a reward is outside [0, 1].
            SchemaVersionError: a newer copyloop wrote a record.
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

    def dataset(
        self, thresholds: EvidenceThresholds | None = None, *, refused: bool = True
    ) -> Dataset:
        """Returns what the log teaches: by what its creatives earned, and by what gates refused.

        Raises:
            DatasetError: nothing is left to learn from; the message says why.
        """
        found = build_dataset(
            self.evidence, self.prompt_of, thresholds=thresholds, suspicious=self.suspicious
        )
        return with_refusals(found, self.evidence, self.refusals()) if refused else found

    def refusals(self) -> list[RefusedText]:
        """Returns the texts that the gates refused, of the placements that were read."""
        found = []
        for creative in self._rejected:
            brief = self._brief(creative)
            code, _, _ = (creative.reason or "").partition(":")
            if brief is not None and len(creative.parts) == 1:
                [text] = creative.parts.values()
                prompt = _prompt(creative, brief)
                found.append(RefusedText(prompt, text, brief_hash(brief), creative.placement, code))
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

    def _interactions(self, log: Log, progress: RowProgress | None) -> Iterator[Interaction]:
        until = ends(log, INTERACTIONS)
        total = sum(end - log.start_offset(partition) for partition, end in until.items())
        done = 0
        for partition, end in until.items():
            first = log.start_offset(partition)
            digest = hashlib.sha256()
            for records in batches(log, partition, first, end=end):
                for record in records:
                    digest.update(record.value)
                    yield from interactions_in(record.value)
                done += len(records)
                if progress is not None:
                    progress(min(done, total), total)
            if end > first:
                self._ranges.append(
                    LogRange(partition.partition, first, end - 1, digest.hexdigest())
                )


def _prompt(creative: Creative, brief: Brief) -> str:
    [part] = creative.parts if len(creative.parts) == 1 else [None]
    asset = channel_of(brief).asset_of(part) if part is not None else None
    form: TextForm = "sentence" if asset is not None and asset.form == "sentence" else "line"
    return plain_prompt(brief, segment=creative.lineage.segment, form=form)
