"""The generator as a process: requests in the log, answered with creatives in the log.

The log is the only state there is. A request that was not finished when the process died is
still `requested`, so it is done again, and the same seed writes the same creatives under the
same ids.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from bandit.features import creative_features
from generator.backends import Backend, open_backend
from generator.brief import brief_from_json
from generator.errors import GeneratorError, PlacementUnknown
from generator.generate import Candidate, GenerationResult, generate
from streams.catalogue import Catalogue, CatalogueReader, catalogue_message
from streams.checkpoint import exclusive
from streams.errors import LogUnavailable
from streams.events import EMPTY, Creative, Generation, Lineage
from streams.log import Log

PART: Final = "headline"
POLL_SECONDS: Final = 0.2

logger = logging.getLogger(__name__)


@dataclass
class GeneratorCounts:
    """What a generator has done since it started: requests answered, and texts written."""

    done: int = 0
    failed: int = 0
    accepted: int = 0
    rejected: int = 0


COUNTED: Final = {
    "done": "Requests answered with creatives.",
    "failed": "Requests that could not be answered; each has its reason in the catalogue.",
    "accepted": "Texts that passed the screen.",
    "rejected": "Texts that did not.",
}
"""The same in words, by field."""


def run_generator(
    log: Log,
    directory: str | Path,
    *,
    model: str,
    stop: threading.Event,
    opened: Callable[[str], Backend] = open_backend,
    counts: GeneratorCounts | None = None,
) -> None:
    """Answers each requested generation, oldest first, until `stop` is set.

    A request is answered by its creatives (accepted ones live, the others rejected with their
    reason) and by the generation itself, `done` or `failed`, all in one append. One that cannot
    be answered fails with its reason, and the process goes on to the next.

    Args:
        log: where requests come from and answers go.
        directory: where the lock is that keeps a second generator away.
        model: opened at the first request, and then kept.
        stop: ends the work; a request that is half done stays requested.
        opened: what opens the model.
        counts: where to count, for who looks on meanwhile.

    Raises:
        LockError: another generator runs on this directory.
        LogUnavailable: the log is out of reach at the start; later on it is waited for.
    """
    reader = CatalogueReader(log)
    counts = counts or GeneratorCounts()

    @cache
    def backend() -> Backend:
        logger.info("loading model %s", model)
        found = opened(model)
        logger.info("model %s is loaded", found.name)
        return found

    with exclusive(directory, "generator"):
        while not stop.is_set():
            try:
                busy = _answer_next(log, reader, backend, stop, counts)
            except LogUnavailable as error:
                logger.warning("the log is out of reach, trying again: %s", error)
                busy = False
            if not busy:
                stop.wait(POLL_SECONDS)


def _answer_next(
    log: Log,
    reader: CatalogueReader,
    backend: Callable[[], Backend],
    stop: threading.Event,
    counts: GeneratorCounts,
) -> bool:
    """Answers the oldest request that waits; returns whether there was one."""
    reader.catch_up()
    waiting = [g for g in reader.catalogue.generations() if g.status == "requested"]
    if waiting:
        events = _answer(reader.catalogue, waiting[0], backend, stop)
        if events:
            log.append([catalogue_message(event) for event in events])
            _count(counts, events)
    return bool(waiting)


def _count(counts: GeneratorCounts, events: Sequence[Creative | Generation]) -> None:
    for event in events:
        if isinstance(event, Generation):
            counts.done += event.status == "done"
            counts.failed += event.status == "failed"
            counts.accepted += event.accepted
            counts.rejected += event.rejected


def _answer(
    catalogue: Catalogue,
    generation: Generation,
    backend: Callable[[], Backend],
    stop: threading.Event,
) -> list[Creative | Generation]:
    """Returns what to write for the request: nothing if `stop` came before it was done."""
    logger.info("generation %s: %d headlines", generation.id, generation.n)
    try:
        result, model = _generate(catalogue, generation, backend, stop)
    except GeneratorError as error:
        logger.error("generation %s failed: %s: %s", generation.id, error.code, error)
        return [_failed(generation, f"{error.code}: {error}")]
    except Exception as error:  # one request must not take the others down with it
        logger.exception("generation %s", generation.id)
        return [_failed(generation, f"internal_error: {type(error).__name__}: {error}")]
    if stop.is_set() and len(result.accepted) < generation.n:
        return []
    logger.info("generation %s: %s", generation.id, result.summary())
    return [*_creatives(catalogue, generation, result, model), _finished(generation, result)]


def _generate(
    catalogue: Catalogue,
    generation: Generation,
    backend: Callable[[], Backend],
    stop: threading.Event,
) -> tuple[GenerationResult, str]:
    """Returns the candidates, and the name of the model that wrote them."""
    brief = brief_from_json(generation.brief)
    if catalogue.placement(generation.placement) is None:
        raise PlacementUnknown(f"there is no placement {generation.placement!r} any more")
    existing = [
        creative.parts[PART]
        for creative in catalogue.creatives(generation.placement)
        if PART in creative.parts
        and creative.status != "rejected"
        and creative.lineage.generation_id != generation.id
    ]
    opened = backend()
    result = generate(
        brief,
        opened,
        n=generation.n,
        seed=generation.seed,
        existing=existing,
        winners=generation.winners,
        stop=stop,
    )
    return result, opened.name


def _creatives(
    catalogue: Catalogue, generation: Generation, result: GenerationResult, model: str
) -> Iterator[Creative]:
    """Yields a creative for each text, the accepted first, but for those that are there already.

    A request that was cut short in the middle of its append has written some; what was done with
    them since must stay.
    """
    seen: set[str] = set()
    for candidate in [*result.accepted, *result.rejected]:
        creative = _creative(generation, candidate, model)
        known = catalogue.creative(generation.placement, creative.id) is not None
        if not known and creative.id not in seen:
            yield creative
        seen.add(creative.id)


def _creative(generation: Generation, candidate: Candidate, model: str) -> Creative:
    accepted = candidate.rejection is None
    parts = {PART: candidate.text}
    return Creative(
        id=creative_id(generation.id, candidate.text),
        placement=generation.placement,
        parts=parts,
        status="live" if accepted else "rejected",
        # The request's own time: done again after a crash, it writes the same bytes again.
        timestamp_ms=generation.timestamp_ms,
        features=creative_features(parts) if accepted else EMPTY,
        reason=None if accepted else str(candidate.rejection),
        lineage=Lineage(
            generation_id=generation.id,
            model=model,
            prompt=candidate.prompt,
            seed=generation.seed,
        ),
    )


def creative_id(generation_id: str, text: str) -> str:
    """Returns the id of this text from this generation: 16 hexadecimal digits.

    >>> creative_id("g-1", "Fresh beans, daily")
    '5a85c675bdbb1768'
    """
    return hashlib.blake2b(f"{generation_id}\n{text}".encode(), digest_size=8).hexdigest()


def _finished(generation: Generation, result: GenerationResult) -> Generation:
    short = len(result.accepted) < generation.n
    return replace(
        generation,
        status="done" if result.accepted else "failed",
        accepted=len(result.accepted),
        rejected=len(result.rejected),
        reason=f"too_few_passed: {result.summary()}" if short else None,
    )


def _failed(generation: Generation, reason: str) -> Generation:
    return replace(generation, status="failed", reason=reason)
