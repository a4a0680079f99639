"""The generator as a process: requests in the log, answered with creatives in the log.

The log is the only state. A request that a killed process left is still `requested`, so it is
done again, and the same seed writes the same creatives under the same ids.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from generator.errors import GeneratorError
from generator.models.base import Backend
from generator.models.catalog import load_models
from generator.models.opening import open_backend
from generator.refresh import Rotator
from generator.reward.ranking import CandidateRanking
from generator.screening.settings import Thresholds
from generator.versions.canary import CanaryJudge
from generator.versions.registry import GENERATOR, VersionRegistry
from generator.versions.store import Versions, version_resolver
from generator.writing.insights import ImpressionReader
from generator.writing.requests import RequestHandler
from streams.catalogue.state import Catalogue, CatalogueReader, catalogue_key
from streams.catalogue.writer import CatalogueWriter
from streams.checkpoint import Checkpoints, exclusive
from streams.errors import ChangeRefused
from streams.events import Creative, Generation
from streams.events.creatives import TRIAL_DECISIONS
from streams.fold import follow
from streams.logs.base import Log
from streams.readiness import nobody

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
    material: Path = Path("material"),
    versions: Path = Path("versions"),
    reader: str = "wordllama",
    thresholds: Thresholds | None = None,
    trial_decisions: int = TRIAL_DECISIONS,
    ready: Callable[[], None] = nobody,
) -> None:
    """Answers each requested generation, oldest first, and renews creatives, until `stop` is set.

    A request is answered by its creatives (accepted ones live, the others rejected with their
    reason) and by the generation itself, `done` or `failed`, all in one append. One that cannot
    be answered fails with its reason, and the process goes on to the next. Placements with a
    rotation have theirs asked for and retired in between.

    Args:
        log: where requests come from and answers go.
        directory: where the checkpoint is, and the lock that keeps a second generator away.
        model: named as `load_models` reads it; opened at the first request, and then kept.
        stop: ends the work; a request that is half done stays requested.
        opened: what opens the model.
        counts: where to count, for who looks on meanwhile.
        material: the folder that holds the files of briefs' material; others are not read.
        versions: the folder of the generator's versions, of which the champion writes.
        reader: what reads texts to rank new ones (`open_encoder`).
        thresholds: of the screen, None for the usual ones.
        trial_decisions: after how many a canary that is no better is pulled.
        ready: called once all that the settings name is there.

    Raises:
        RewardModelError: no reader is called so.
        ModelsError: `model` names a file of models that cannot be read.
        LockError: another generator runs on this directory.
        LogUnavailable: the log is out of reach at the start; later on it is waited for.
    """
    catalogue = CatalogueReader(log)
    counts = counts or GeneratorCounts()
    ranking = CandidateRanking(reader, thresholds)

    @cache
    def backend() -> Backend:
        logger.info("loading model %s", model)
        found = opened(model)
        logger.info("model %s is loaded", found.name)
        return found

    with exclusive(directory, "generator"):
        writer = CatalogueWriter(log, reader=catalogue)
        rotator = Rotator(log, Checkpoints(directory))
        canaries = CanaryJudge(log, Checkpoints(directory), longest=trial_decisions)
        registry = VersionRegistry(log, GENERATOR, reader=catalogue)
        handler = RequestHandler(
            backend,
            ImpressionReader(log).impressions,
            load_models(model),
            material,
            lambda known: ranking.selection(rotator.states(), known),
            version_resolver(backend, Versions(versions)),
        )

        def look() -> bool:
            busy = _answer_next(writer, catalogue, handler, stop, counts)
            busy = rotator.rotate(catalogue) > 0 or busy
            return canaries.judge(registry) or busy

        ready()
        follow("requests", look, stop=stop, every_seconds=POLL_SECONDS)
        rotator.save()
        canaries.save()


def _answer_next(
    writer: CatalogueWriter,
    reader: CatalogueReader,
    handler: RequestHandler,
    stop: threading.Event,
    counts: GeneratorCounts,
) -> bool:
    """Answers the oldest request that waits; returns whether there was one."""
    reader.catch_up()
    waiting = [g for g in reader.catalogue.generations() if g.status == "requested"]
    if waiting:
        name = catalogue_key(waiting[0])
        seen = writer.as_seen(name)
        events = _answer(reader.catalogue, waiting[0], handler, stop)
        names = [name, *(catalogue_key(event) for event in events)]
        try:
            for event in writer.commit(names, lambda: _new(reader.catalogue, events), None, seen):
                if isinstance(event, Generation):
                    counts.done += event.status == "done"
                    counts.failed += event.status == "failed"
                    counts.accepted += event.accepted
                    counts.rejected += event.rejected
        except ChangeRefused as error:  # another generator came first
            logger.warning("%s: %s", name, error)
    return bool(waiting)


def _new(
    catalogue: Catalogue, events: Sequence[Creative | Generation]
) -> list[Creative | Generation]:
    """Returns the events but for creatives that are there, which somebody may have judged since."""
    return [e for e in events if isinstance(e, Generation) or catalogue.as_it_is(e) is None]


def _answer(
    catalogue: Catalogue, generation: Generation, handler: RequestHandler, stop: threading.Event
) -> list[Creative | Generation]:
    """Returns what to write for the request: nothing if `stop` came before it was done."""
    logger.info("generation %s: %d creatives", generation.id, generation.n)
    try:
        found = handler.handle(catalogue, generation, stop)
    except GeneratorError as error:
        logger.error("generation %s failed: %s: %s", generation.id, error.code, error)
        reason = f"{error.code}: {error}"
        return [replace(generation, status="failed", reason=reason)]
    except Exception as error:  # one request must not take the others down with it
        logger.exception("generation %s", generation.id)
        reason = f"internal_error: {type(error).__name__}: {error}"
        return [replace(generation, status="failed", reason=reason)]
    if stop.is_set() and len(found.drafts.creatives) < generation.n:
        return []
    logger.info("generation %s: %s; %s", generation.id, found.drafts.summary(), found.used.words())
    return found.events
