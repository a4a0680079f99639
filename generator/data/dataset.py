"""Rows to learn from: texts to imitate, pairs to prefer by, and yes or no.

Noise must not be taught: a text is taken for good, or for better than another, only where enough
was seen to say so. Whole briefs are held out, the latest ones, so that what is tested was not
trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa
from msgspec import Meta, Struct
from pyarrow import parquet

from generator.data.evidence import Evidence, Suspicion, chance_better
from generator.errors import DatasetError
from streams.files import BY_UMASK, write_whole, writing_whole

Split: TypeAlias = Literal["train", "test"]
PromptOf: TypeAlias = Callable[[Evidence], str | None]
"""Returns the prompt that a creative's text goes on from, None where no brief is known."""
CARD: Final = "card.json"


class EvidenceThresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much must be known before something is taught.

    Attributes:
        effective_n: showings, counted as SNIPS can use them, behind each text.
        sure: how probable it must be that one of a pair is better.
        best: which share of a placement's texts is imitated, its surest ones.
        pairs_per_text: how many pairs one text may be in, the surest ones, lest a single winner
            be all that is learned.
        held_out: which share of the briefs is for testing, the latest ones.
    """

    effective_n: Annotated[float, Meta(gt=0)] = 100.0
    sure: Annotated[float, Meta(gt=0.5, lt=1)] = 0.9
    best: Annotated[float, Meta(gt=0, le=1)] = 0.25
    pairs_per_text: Annotated[int, Meta(ge=1)] = 8
    held_out: Annotated[float, Meta(ge=0, lt=1)] = 0.2


class Imitate(NamedTuple):
    """A text that did well, for supervised fine-tuning.

    A paraphrase has the text that it says again in `made_from`, and the numbers are of that one.
    """

    prompt: str
    text: str
    brief: str
    placement: str
    segment: str
    estimate: float
    lower: float
    split: Split
    made_from: str = ""


class Prefer(NamedTuple):
    """Two texts for one prompt; `weight` is 2·P(better) - 1, from 0, a coin, to 1, certainty.

    `refused` says that a gate thought less of the worse one, and not traffic.
    """

    prompt: str
    better: str
    worse: str
    brief: str
    placement: str
    segment: str
    weight: float
    split: Split
    refused: bool = False


class Judge(NamedTuple):
    """A text that is surely above its company, or surely below."""

    prompt: str
    text: str
    good: bool
    brief: str
    placement: str
    segment: str
    split: Split


ROWS: Final[dict[str, type[Any]]] = {"imitate": Imitate, "prefer": Prefer, "judge": Judge}


class Dataset(NamedTuple):
    """All rows, how many texts were left out for which reason, and whose clicks are doubted."""

    imitate: list[Imitate]
    prefer: list[Prefer]
    judge: list[Judge]
    left_out: dict[str, int]
    suspicious: tuple[Suspicion, ...] = ()


def build_dataset(
    evidence: Sequence[Evidence],
    prompt_of: PromptOf,
    *,
    thresholds: EvidenceThresholds | None = None,
    suspicious: Sequence[Suspicion] = (),
) -> Dataset:
    """Returns what these creatives teach.

    Pairs are of one placement, segment and brief: what they differ by is the text.

    Args:
        evidence: of `gather`.
        prompt_of: the beginning that each text goes on from.
        thresholds: how much must be known.
        suspicious: of creatives that nothing is learned from (`suspicions`).

    Raises:
        DatasetError: nothing is left to learn from; the message says why.
    """
    limits = thresholds or EvidenceThresholds()
    left_out: dict[str, int] = defaultdict(int)
    doubted = {(each.placement, each.creative_id) for each in suspicious}
    known = list(_known(evidence, prompt_of, limits, doubted, left_out))
    splits = _splits([each.evidence for each in known], limits.held_out)
    groups: dict[tuple[str, str, str], list[_Known]] = defaultdict(list)
    for each in known:
        groups[each.placement, each.evidence.segment, each.brief].append(each)
    dataset = Dataset([], [], [], dict(left_out), tuple(suspicious))
    for (_, _, brief), group in groups.items():
        split = splits[brief]
        best = group[: max(1, round(limits.best * len(group)))]
        for each in best:
            if each.chance >= limits.sure:
                winner = each.evidence.winner
                row = Imitate(
                    text=each.text,
                    estimate=winner.estimate,
                    lower=winner.lower,
                    split=split,
                    **each.origin(),
                )
                dataset.imitate.append(row)
        dataset.prefer.extend(_pairs(group, limits, split))
        dataset.judge.extend(
            Judge(text=each.text, good=each.chance >= limits.sure, split=split, **each.origin())
            for each in group
            if max(each.chance, 1.0 - each.chance) >= limits.sure
        )
    if not (dataset.imitate or dataset.prefer):
        why = ", ".join(f"{reason} {count}" for reason, count in left_out.items())
        raise DatasetError(
            f"of {len(evidence)} creatives nothing can be learned ({why or 'none surely better'}); "
            "let more traffic come, or lower the thresholds"
        )
    return dataset


class _Known(NamedTuple):
    """Evidence that is enough, with its prompt, and the chance that it is above its company."""

    evidence: Evidence
    prompt: str
    text: str
    brief: str
    placement: str
    chance: float

    def origin(self) -> dict[str, Any]:
        """Returns what every row of it says alike."""
        return {
            "prompt": self.prompt,
            "brief": self.brief,
            "placement": self.placement,
            "segment": self.evidence.segment,
        }


def _known(
    evidence: Iterable[Evidence],
    prompt_of: PromptOf,
    limits: EvidenceThresholds,
    doubted: Collection[tuple[str, str]],
    left_out: dict[str, int],
) -> Iterator[_Known]:
    for each in evidence:
        creative, winner, prompt = each.creative, each.winner, prompt_of(each)
        if (creative.placement, creative.id) in doubted:
            left_out["suspicious"] += 1
        elif prompt is None or creative.lineage.brief is None:
            left_out["without_a_brief"] += 1
        elif len(creative.parts) != 1:
            left_out["of_several_parts"] += 1
        elif winner.effective_n < limits.effective_n:
            left_out["seen_too_little"] += 1
        else:
            [text] = creative.parts.values()
            # A creative that is just as its company, and was seen as often as all can be.
            usual = each._replace(winner=winner._replace(estimate=each.level, effective_n=1e6))
            chance, brief = chance_better(each, usual), creative.lineage.brief
            yield _Known(each, prompt, text, brief, creative.placement, chance)


def _splits(evidence: Sequence[Evidence], held_out: float) -> Mapping[str, Split]:
    """Returns which briefs are for testing: the share that came last."""
    first: dict[str, int] = {}
    for each in evidence:
        brief = each.creative.lineage.brief or ""
        when = each.creative.timestamp_ms
        first[brief] = min(when, first.get(brief, when))
    briefs = sorted(first, key=lambda brief: (first[brief], brief))
    for_testing = int(held_out * len(briefs))
    kept = len(briefs) - for_testing
    return {brief: "train" if k < kept else "test" for k, brief in enumerate(briefs)}


def _pairs(group: Sequence[_Known], limits: EvidenceThresholds, split: Split) -> Iterator[Prefer]:
    """Yields pairs, the surest first, each text in a few at most."""
    found = []
    for one, other in combinations(group, 2):
        chance = chance_better(one.evidence, other.evidence)
        better, worse = (one, other) if chance >= 0.5 else (other, one)
        chance = max(chance, 1.0 - chance)
        if chance >= limits.sure and better.text != worse.text:
            found.append((chance, better, worse))
    used: dict[str, int] = defaultdict(int)
    for chance, better, worse in sorted(found, key=lambda pair: -pair[0]):
        if max(used[better.text], used[worse.text]) < limits.pairs_per_text:
            used[better.text] += 1
            used[worse.text] += 1
            yield Prefer(
                better=better.text,
                worse=worse.text,
                weight=2.0 * chance - 1.0,
                split=split,
                **better.origin(),
            )


class LogRange(NamedTuple):
    """Which interactions were read: a partition's offsets, `first` to `last`, and their hash."""

    partition: int
    first: int
    last: int
    sha256: str


class Card(Struct, frozen=True, kw_only=True):
    """What a dataset was made of.

    Attributes:
        log: the interactions behind it.
        thresholds: what it took for a row.
        rows: how many of each kind and split, as `imitate/train`.
        left_out: how many creatives were not used, by reason.
        briefs: how many are for training and for testing.
        suspicious: creatives that were left out because of their clicks, and why.
        paraphrased: how many of the texts to imitate say another one again.
    """

    log: tuple[LogRange, ...]
    thresholds: EvidenceThresholds
    rows: dict[str, int]
    left_out: dict[str, int]
    briefs: dict[str, int]
    suspicious: tuple[Suspicion, ...] = ()
    paraphrased: int = 0
    v: int = 1


def write_dataset(
    dataset: Dataset, folder: Path, *, log: tuple[LogRange, ...], thresholds: EvidenceThresholds
) -> Card:
    """Returns the card, which is written last: a folder without one is not finished.

    The same dataset writes the same rows in the same order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    counts: dict[str, int] = {}
    briefs: dict[str, set[str]] = {"train": set(), "test": set()}
    for name, row_type in ROWS.items():
        rows = getattr(dataset, name)
        columns = {field: [getattr(row, field) for row in rows] for field in row_type._fields}
        with writing_whole(rows_file(folder, name), mode=BY_UMASK) as file:
            parquet.write_table(pa.table(columns), file, compression="zstd")
        for row in rows:
            counts[f"{name}/{row.split}"] = counts.get(f"{name}/{row.split}", 0) + 1
            briefs[row.split].add(row.brief)
    card = Card(
        log=log,
        thresholds=thresholds,
        rows=counts,
        left_out=dataset.left_out,
        briefs={split: len(found) for split, found in briefs.items()},
        suspicious=dataset.suspicious,
        paraphrased=sum(bool(row.made_from) for row in dataset.imitate),
    )
    told = msgspec.json.format(msgspec.json.encode(card), indent=1)
    write_whole(folder / CARD, told, mode=BY_UMASK)
    return card


def read_dataset(folder: Path) -> tuple[Dataset, Card]:
    """Returns the dataset in a folder.

    Raises:
        DatasetError: there is none, it is not finished, or a file of it cannot be read.
    """
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
        rows = {
            name: [
                row_type(**row) for row in parquet.read_table(rows_file(folder, name)).to_pylist()
            ]
            for name, row_type in ROWS.items()
        }
    except (OSError, msgspec.MsgspecError, pa.ArrowException, TypeError) as error:
        raise DatasetError(f"no dataset in {folder}: {error}") from error
    found = Dataset(rows["imitate"], rows["prefer"], rows["judge"], card.left_out, card.suspicious)
    return found, card


def rows_file(folder: Path, name: str) -> Path:
    """Returns where a dataset keeps its rows of a kind: `imitate`, `prefer` or `judge`."""
    return folder / f"{name}.parquet"
