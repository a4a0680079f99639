"""The schedule: when to teach a new version, and the processes that do it one after another.

Each step is a command of ours in a process of its own, with limits, at the lowest priority: what
serves is not disturbed, and a step that is killed is begun again where it was.
"""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from bandit.service.workers.supervise import die_with_parent
from generator.data.dataset import CARD, EvidenceThresholds, write_dataset
from generator.data.reading import Reading, with_refusals
from generator.errors import DatasetError
from generator.models.opening import ADAPTER, MANIFEST
from generator.reward.model import is_saved_trusted
from generator.settings import REFUSED, UNLEARNED
from generator.training.config import FinetuneConfig, SftConfig, load_config
from streams.catalogue.state import CatalogueReader
from streams.events import INTERACTIONS
from streams.events.creatives import CANARY_SHARE
from streams.files.writing import write_whole
from streams.fold import ends, follow
from streams.logs.base import Log
from streams.process import module_command

DONE: Final = "done"
"""The file that says that a round came to its end, with the code of its last step."""
REWARD: Final = "reward.model"
"""The file of what the gate knows of reward, made from the log before a version is judged."""
PRACTISED: Final = "practised"
"""The run of a version that went on with its own better texts, beside `run` where it was before."""
NICENESS: Final = 19
POLL_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 20.0
"""How long a step that is asked to stop may take: it writes a checkpoint."""
HOUR_MS: Final = 3_600_000
GROWTH: Final = 1.01
"""How many times as many interactions there must be for another look, which reads all of them."""
FREELY: Final = 1.0
"""The temperature of practice: as the better half alone stays, the more differs the better."""
GENTLY: Final = SftConfig(epochs=1.0, learning_rate=2e-4)
"""How its own texts are taught to a version that prefers already."""
AGAIN: Final = 1
"""How a step ends that may work later: the log was out of reach, say."""

logger = logging.getLogger(__name__)


class Schedule(Struct, frozen=True, kw_only=True):
    """When a version is taught, and what that may take.

    Attributes:
        new_pairs: how many more confident pairs than last time are reason enough.
        every_hours: of the log's time, after which the clock is; None for evidence alone.
        look_seconds: between looks at the log.
        cpu_seconds: that one step may compute.
        memory_gb: that one step may allocate.
        hours: that one step may take.
        model: what is taught.
        config: a file for `generator finetune`.
        reader: what reads texts for the gate's reward model.
        gate: a file of the gate's bounds and samples.
        share: the most traffic that a version on trial gets.
        practise: how many texts of each brief a trained version writes to go on with the better
            half of what passes, if the reward model is trusted; 0 for none.
    """

    new_pairs: Annotated[int, Meta(ge=1)] = 100
    every_hours: Annotated[float, Meta(gt=0)] | None = None
    look_seconds: Annotated[float, Meta(gt=0)] = 600.0
    cpu_seconds: Annotated[int, Meta(ge=1)] = 4 * 3600
    memory_gb: Annotated[float, Meta(gt=0)] = 8.0
    hours: Annotated[float, Meta(gt=0)] = 12.0
    model: str = "smollm2"
    config: str | None = None
    reader: str = "wordllama"
    gate: str | None = None
    share: Annotated[float, Meta(gt=0, le=1)] = CANARY_SHARE
    practise: Annotated[int, Meta(ge=0)] = 0


class Past(Struct, frozen=True):
    """What was there when the latest round began: its pairs, and the log's time; 0 before any."""

    pairs: int = 0
    at_ms: int = 0


def due(schedule: Schedule, past: Past, pairs: int, now_ms: int) -> str:
    """Returns why a version is to be taught now; empty if it is not.

    >>> due(Schedule(new_pairs=10), Past(pairs=5, at_ms=1), 15, 2)
    '15 confident pairs, 10 more than last time'
    >>> due(Schedule(new_pairs=10, every_hours=1.0), Past(pairs=5, at_ms=1), 14, 2)
    ''
    """
    if pairs - past.pairs >= schedule.new_pairs:
        return f"{pairs} confident pairs, {pairs - past.pairs} more than last time"
    hours = (now_ms - past.at_ms) / HOUR_MS
    # Where nothing is new, the clock would teach the same again.
    if schedule.every_hours is not None and hours >= schedule.every_hours and pairs != past.pairs:
        return f"{hours:.1f} hours since the last time, and {pairs} confident pairs"
    return ""


def _past(told: Path) -> Past:
    """Returns what the file of a round says; that of none where it cannot be read."""
    try:
        return msgspec.json.decode(told.read_bytes(), type=Past)
    except msgspec.DecodeError as error:
        logger.warning("%s cannot be read, and is taken for that of no round: %s", told, error)
        return Past()


class Teacher:
    """Teaches a log's generator by a schedule, one version at a time.

    Args:
        log: what is learned from.
        log_url: by which the steps open the same.
        data: the folder of versions and rounds.
        schedule: when, and with what limits.
        stop: ends a round; it goes on when the next teacher starts.
    """

    def __init__(
        self, log: Log, log_url: str, data: Path, schedule: Schedule, stop: threading.Event
    ) -> None:
        self._log = log
        self._place = ["--log", log_url, "--data", str(data)]
        self._rounds = data / "generator" / "rounds"
        self._schedule = schedule
        self._stop = stop
        self._looked_at = 0
        """How many interactions the log had at the last look that found nothing due."""

    def run(self) -> None:
        """Looks at the log again and again, and teaches when it is due, until stopped."""
        look_seconds = self._schedule.look_seconds
        follow("interactions", self.turn, stop=self._stop, every_seconds=look_seconds)

    def turn(self) -> Path | None:
        """Goes on with a round that is not done, or begins one that is due; returns its folder.

        While a version is on trial none is taught: its verdict comes first.

        Raises:
            LogUnavailable: the log is out of reach.
        """
        rounds = sorted(self._rounds.glob("*")) if self._rounds.is_dir() else []
        unfinished = [each for each in rounds if not (each / DONE).exists()]
        if unfinished:
            here = unfinished[-1]
        else:
            reader = CatalogueReader(self._log)
            reader.catch_up()
            if reader.catalogue.canary is not None:
                return None
            begun = self._begin(rounds)
            if begun is None:
                return None
            here = begun
        self._teach(here)
        return here

    def _begin(self, rounds: Sequence[Path]) -> Path | None:
        """Returns the folder of a new round with its rows, None if none is due."""
        past, told = Past(), rounds[-1] / "past.json" if rounds else None
        if told is not None and told.exists():  # not where its rows were never written to their end
            past = _past(told)
        grown = sum(ends(self._log, INTERACTIONS).values())
        hours = self._schedule.every_hours
        clock_is_due = hours is not None and self._now_ms() - past.at_ms >= hours * HOUR_MS
        if grown < GROWTH * self._looked_at and not clock_is_due:
            return None
        self._looked_at = grown
        limits = EvidenceThresholds()
        reading = Reading(self._log)
        try:
            found = reading.dataset(limits, refused=False)
        except DatasetError as error:
            logger.info("nothing to teach yet: %s", error)
            return None
        pairs, now_ms = len(found.prefer), self._now_ms()
        why = due(self._schedule, past, pairs, now_ms)
        if not why:
            return None
        self._looked_at = 0
        here = self._rounds / f"{len(rounds) + 1:06}"
        logger.info("round %s: %s", here.name, why)
        rows = with_refusals(found, reading.evidence, reading.refusals())
        write_dataset(rows, here / "rows", log=reading.log, thresholds=limits)
        write_whole(here / "past.json", msgspec.json.encode(Past(pairs, now_ms)))
        return here

    def _teach(self, here: Path) -> None:
        if not (here / "past.json").exists():  # it was killed while its rows were written
            write_whole(here / DONE, b"-1")
            return
        code = self._train(here)
        if code == 0:
            code = self._learn_reward(here)
        if code == 0:
            code = self._practise(here)
        if code in (0, UNLEARNED):
            code = self._adopt(here)
        if not self._stop.is_set() and code != AGAIN:
            # What failed otherwise would fail the same way on the same rows.
            logger.info("round %s is over, code %d", here.name, code)
            write_whole(here / DONE, str(code).encode())

    def _train(self, here: Path) -> int:
        if (here / "run" / MANIFEST).exists():
            return 0
        schedule = self._schedule
        train = ["finetune", str(here / "rows"), str(here / "run"), "--model", schedule.model]
        return self._step([*train, *(["--config", schedule.config] if schedule.config else [])])

    def _learn_reward(self, here: Path) -> int:
        """Makes the gate's reward model, where traffic has told enough; returns the step's code."""
        model = here / REWARD
        if model.exists():
            return 0
        learn = ["reward-model", str(model), "--reader", self._schedule.reader]
        code = self._step([*learn, *self._place], fine=(0, UNLEARNED))
        if code == UNLEARNED:
            logger.info("round %s: too little traffic for a reward model yet", here.name)
        elif code != 0 and not self._stop.is_set():
            logger.error(
                "round %s: its reward model failed, so its version is not judged; to judge it "
                "without: copyloop generator adopt %s",
                here.name,
                here / "run",
            )
        return code

    def _practise(self, here: Path) -> int:
        """Has the version go on with its own better texts, if it is to; returns the step's code."""
        own, model = here / "own", here / REWARD
        if self._schedule.practise == 0 or (here / PRACTISED / MANIFEST).exists():
            return 0
        if not is_saved_trusted(model):
            logger.info("round %s: no practice, its reward model is not trusted", here.name)
            return 0
        code = 0
        if not (own / CARD).exists():
            write = ["practise", str(own), "--adapter", str(here / "run" / ADAPTER)]
            write += ["--model", self._schedule.model, "--reward", str(model)]
            write += ["--texts", str(self._schedule.practise), "--temperature", str(FREELY)]
            code = self._step([*write, *self._place])
        if code == 0:
            file = here / "practise.json"
            write_whole(file, msgspec.json.encode(self._practice(here / "run" / ADAPTER)))
            train = ["finetune", str(own), str(here / PRACTISED)]
            code = self._step([*train, "--config", str(file)])
        if code in (0, AGAIN) or self._stop.is_set():
            return code
        logger.error("round %s: its practice failed; judged as it was trained", here.name)
        return 0

    def _practice(self, adapter: Path) -> FinetuneConfig:
        file, model = self._schedule.config, self._schedule.model
        trained = load_config(Path(file)) if file else FinetuneConfig()
        said = {"method": "sft", "model": model, "parent": str(adapter), "sft": GENTLY}
        # An adapter keeps its shape, and of its own texts none are held out to stop early by.
        return replace(trained, adapter=None, patience=None, **said)

    def _adopt(self, here: Path) -> int:
        schedule, model = self._schedule, here / REWARD
        practised = (here / PRACTISED / MANIFEST).exists()
        adopt = ["adopt", str(here / (PRACTISED if practised else "run"))]
        adopt += ["--model", schedule.model]
        adopt += ["--share", str(schedule.share)]
        adopt += ["--gate", schedule.gate] if schedule.gate else []
        adopt += ["--reward", str(model)] if model.exists() else []
        return self._step([*adopt, *self._place], fine=(0, REFUSED))

    def _step(self, words: Sequence[str], *, fine: Sequence[int] = (0,)) -> int:
        """Runs a command of the generator within the limits; returns its exit code."""
        process = subprocess.Popen(
            module_command("generator", *words),
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=step_limits(self._schedule),
        )
        waited, longest = 0.0, self._schedule.hours * 3600.0
        while process.poll() is None and not self._stop.is_set() and waited < longest:
            self._stop.wait(POLL_SECONDS)
            waited += POLL_SECONDS
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        code = process.returncode
        if code not in fine and not self._stop.is_set():
            logger.error("%s ended with code %d; see what it said above", words[0], code)
        return code

    def _now_ms(self) -> int:
        """Returns the time of the log's latest interaction."""
        latest = 0
        for partition, end in ends(self._log, INTERACTIONS).items():
            if end > self._log.start_offset(partition):
                [record, *_] = self._log.read(partition, end - 1)
                latest = max(latest, record.timestamp_ms)
        return latest


def step_limits(schedule: Schedule) -> Callable[[], None]:
    """Returns what a step runs before its program: what it may take, and its priority."""
    memory, tie = int(schedule.memory_gb * 2**30), die_with_parent()

    def limit() -> None:
        if tie is not None:
            tie()
        os.nice(NICENESS)
        # What it writes goes to the data folder, which is for its owner alone.
        os.umask(0o077)
        resource.setrlimit(resource.RLIMIT_CPU, (schedule.cpu_seconds, schedule.cpu_seconds + 30))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))

    return limit
