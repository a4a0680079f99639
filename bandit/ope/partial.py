"""What was found on a part of a log: kept in bounded memory, added up with `+`, told at the end.

So a log can be judged in parts, by processes or by machines, which need not see each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bandit.errors import EstimateError
from bandit.ope.candidate import CandidatePolicy
from bandit.ope.readers.rows import RowCounts, SkippedRows
from bandit.ope.repeats import Repeats, with_repeats
from bandit.ope.reports.report import Evaluation, PolicyEvaluation

EARLIEST_MS: Final = 631_152_000_000
"""1990; times before it are row numbers, or none at all."""
ESTIMATED: Final = (
    "Propensities were not logged but estimated from contexts: every figure is only as right "
    "as that model, and wrong where the choice rested on what the log does not say."
)


@dataclass(frozen=True)
class PartialEvaluation:
    """What was found on a part of a log; picklable.

    Attributes:
        candidates: the policies, the first of which is the baseline.
        skipped: rows that were left out.
        times: the first and the last time of some decisions.
        n: how many decisions there were.
        repeats: what is known of users.
        notes: how the log was read.
        estimated: whether propensities were estimated.
    """

    candidates: Sequence[CandidatePolicy]
    skipped: Sequence[SkippedRows] = ()
    times: Sequence[tuple[float, float]] = ()
    n: int = 0
    repeats: Repeats = field(default_factory=Repeats)
    notes: Sequence[str] = ()
    estimated: bool = False

    def __add__(self, other: PartialEvaluation) -> PartialEvaluation:
        counts = RowCounts("skip")
        counts.add(tuple(self.skipped))
        counts.add(tuple(other.skipped))
        pairs = zip(self.candidates, other.candidates, strict=True)
        return PartialEvaluation(
            [one + another for one, another in pairs],
            counts.get(),
            [span for span in (_ends(self.times), _ends(other.times)) if span],
            self.n + other.n,
            self.repeats + other.repeats,
            tuple(dict.fromkeys((*self.notes, *other.notes))),
            self.estimated or other.estimated,
        )

    def finish(self) -> Evaluation:
        """Returns what each policy would have earned on all the parts.

        Raises:
            EstimateError: there was no decision, or none that has the unit that was named.
        """
        if not self.n:
            raise EstimateError(no_decision(self.skipped))
        self.repeats.check()
        options = self.candidates[0].options
        caveat = "propensities_estimated" if self.estimated else None
        results = (candidate.result(caveat) for candidate in self.candidates)
        since_ms, until_ms = span(self.times)
        skipped = tuple(self.skipped)
        return Evaluation(
            self.n,
            options.level,
            options.baseline,
            all_with_repeats(results, self.repeats.words()),
            (*((ESTIMATED,) if self.estimated else ()), *self.notes, *map(str, skipped)),
            skipped=skipped,
            since_ms=since_ms,
            until_ms=until_ms,
        )


def _ends(times: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    return (min(first for first, _ in times), max(last for _, last in times)) if times else None


def no_decision(skipped: Sequence[SkippedRows]) -> str:
    """Returns what to say of a log in which no row is a decision."""
    said = (
        "the log holds no decision of these; there is nothing to judge policies by. Is the "
        "placement's name right, and is an archive written yet?"
    )
    return "; ".join((said, *map(str, skipped)))


def all_with_repeats(
    found: Iterable[PolicyEvaluation], words: str | None
) -> tuple[PolicyEvaluation, ...]:
    """Returns the policies, with verdicts that say that users repeat, if they do."""
    return tuple(
        msgspec.structs.replace(each, diagnostics=with_repeats(each.diagnostics, words))
        for each in found
    )


def span(times: Sequence[tuple[float, float]]) -> tuple[int, int] | tuple[None, None]:
    """Returns the first and the last time; None where they are row numbers, or none at all."""
    since_ms = min((first for first, _ in times), default=0.0)
    if since_ms < EARLIEST_MS:
        return None, None
    return int(since_ms), int(max(last for _, last in times))
