"""Events as other people's producers write them: out of order, twice, by wrong clocks, broken.

They go straight into the log beside the API's, while the loop runs.
"""

import threading
import time
from collections import defaultdict
from contextlib import suppress

import msgspec

from bandit.policy import sample, sample_seed
from streams.errors import LogUnavailable, MessagesRefused
from streams.events import (
    CATALOGUE,
    DECISIONS,
    INTERACTIONS,
    OUTCOMES,
    POLICIES,
    Decision,
    Outcome,
    decode,
    encode,
)
from streams.logs.base import Message
from tests.bandit.recovery import until
from tests.bandit.recovery_findings import records

SORTS = ("calm", "early", "twice", "backwards", "decided_twice", "clock_ahead", "clock_behind")
POISONED = (DECISIONS, OUTCOMES, CATALOGUE, INTERACTIONS, POLICIES)
POISON = (b"no json", b"\xff\xfe", b'{"type":"nothing"}', b'{"type":"outcome","v":99}')
SKEW_MS = 5000
BEHIND_MS = 400


class Strays:
    """A thread that appends one event of each sort in turn, and now and then poison.

    Each decision is a real one under another id, drawn again for it, so that an audit finds
    nothing amiss. `decisions` and `clicks` were acknowledged; `of_sort` are decisions by sort.
    """

    def __init__(self, log, *, pause_seconds=0.02):
        self.decisions = set()
        self.clicks = set()
        self.of_sort = defaultdict(set)
        self._log = log
        self._pause_seconds = pause_seconds
        self._models = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        found = (decode(record.value) for record in records(self._log, DECISIONS))
        self._models = [event for event in found if isinstance(event, Decision)]
        assert self._models, "strays are made after real decisions, and there are none yet"
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def go_on_by(self, decisions):
        """Waits until so many more decisions have been acknowledged."""
        wanted = len(self.decisions) + decisions
        until(lambda: len(self.decisions) >= wanted)

    def _run(self):
        n = 0
        while not self._stop.wait(self._pause_seconds):
            # What was not acknowledged may be lost, and is not sent again.
            with suppress(LogUnavailable, MessagesRefused):
                self._send(n)
                if n % 50 == 0:
                    self._poison(n // 50)
            n += 1

    def _send(self, n):
        sort = SORTS[n % len(SORTS)]
        decision, click = self._made(n, sort)
        parts = [[decision], [click]]
        match sort:
            case "early":
                parts = [[click], [decision]]
            case "twice":
                parts = [[decision], [click], [click, click]]
            case "backwards":
                view = _outcome(decision, "impression", click.timestamp_ms - 50)
                parts = [[decision], [click], [view]]
            case "decided_twice":
                parts = [[decision], [decision], [click]]
        for events in parts:
            self._log.append([_message(event) for event in events])
            time.sleep(0.005)
        self.decisions.add(decision.event_id)
        self.clicks.add(click.event_id)
        self.of_sort[sort].add(decision.event_id)

    def _made(self, n, sort):
        model = self._models[n % len(self._models)]
        event_id = f"stray-{sort}-{n}"
        now_ms = int(time.time() * 1000)
        decided_ms, clicked_ms = now_ms, now_ms + 5
        if sort == "clock_ahead":
            decided_ms += SKEW_MS * (n % 2)
            clicked_ms += SKEW_MS
        if sort == "clock_behind":
            decided_ms -= BEHIND_MS * (n % 2)
            clicked_ms -= BEHIND_MS
        decision = msgspec.structs.replace(
            model,
            event_id=event_id,
            timestamp_ms=decided_ms,
            index=sample(model.pmf, sample_seed(event_id, model.slot)),
        )
        return decision, _outcome(decision, "click", clicked_ms)

    def _poison(self, n):
        value = POISON[n % len(POISON)]
        self._log.append([Message(topic, b"poison", value) for topic in POISONED])


def _outcome(decision, kind, timestamp_ms):
    return Outcome(
        event_id=decision.event_id,
        outcome_id=f"{decision.event_id}-{kind}",
        kind=kind,
        timestamp_ms=timestamp_ms,
        slot=decision.slot,
    )


def _message(event):
    topic = DECISIONS if isinstance(event, Decision) else OUTCOMES
    return Message(topic, event.event_id.encode(), encode(event))
