"""People with a hidden taste, as many a second as they are asked to be, who click over HTTP.

They see what the API answers and nothing else. What they would click on truly is known here alone,
and is kept by second, so that what was served can be judged afterwards.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
import time
from collections import defaultdict, deque
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urlsplit

from bandit.client import Client
from benchmarks.taste import EASY, HiddenTaste

CONNECTIONS: Final = 32
USERS: Final = 20_000
TURN_SECONDS: Final = 0.02
FLUSH_SECONDS: Final = 0.5
CLICK_SECONDS: Final = (0.4, 1.2)
"""How long after the decision people click; who is faster is taken for a machine."""
PATIENCE_SECONDS: Final = 30.0
_EVENT: Final = re.compile(rb'"event_id":"([^"]+)"')
_SHOWN: Final = re.compile(rb'"action":\{"id":"([^"]+)"')


class Served(NamedTuple):
    """What was served in a while: how many decisions, and their mean true click rate."""

    decisions: int
    ctr: float
    by_version: dict[str, int]


class Audience:
    """Visits the placements in turn until stopped, in a thread of its own.

    Args:
        url: the API's.
        taste: what people like.
        placements: the product that each placement advertises, by its name.
        per_second: visits; fewer come if the API answers more slowly.
        seed: of who comes and who clicks.
    """

    def __init__(
        self,
        url: str,
        taste: HiddenTaste,
        placements: dict[str, str],
        *,
        per_second: float,
        seed: int,
    ) -> None:
        self._url, self._taste, self._placements = url, taste, placements
        self._per_second = per_second
        self._rng = random.Random(seed)
        self._rates: dict[str, float] = {}
        self._wrote: dict[str, str] = {}
        self._asked_for: dict[str, str] = {}
        self._sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._by_version: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._impressions: list[dict[str, Any]] = []
        self._clicks: deque[tuple[float, dict[str, Any]]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._visit()), daemon=True)
        self.refused = 0
        self.problem = ""

    def start(self) -> None:
        """Opens the gates."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the visits."""
        self._stop.set()
        self._thread.join()

    @property
    def coming(self) -> bool:
        """Whether people still come: an error ends that."""
        return self._thread.is_alive()

    @property
    def decisions(self) -> int:
        """How many were served until now."""
        return int(sum(n for n, _ in list(self._sums.values())))

    def served(self, from_s: float, to_s: float) -> Served:
        """Returns what was served between two times of the clock, in seconds since 1970."""
        seconds = range(int(from_s), int(to_s) + 1)
        known = [self._sums[second] for second in seconds if second in self._sums]
        by_version: dict[str, int] = defaultdict(int)
        for second in seconds:
            for version, n in self._by_version.get(second, {}).items():
                by_version[version] += n
        n = sum(each[0] for each in known)
        return Served(int(n), sum(each[1] for each in known) / max(n, 1.0), dict(by_version))

    def written_by(self) -> dict[str, list[float]]:
        """Returns the true click rates of the texts that were shown, by the version that wrote."""
        found: dict[str, list[float]] = defaultdict(list)
        for creative_id, version in self._wrote.items():
            found[version].append(self._rates[creative_id])
        return dict(found)

    def written_for(self, asked: str) -> list[float]:
        """Returns the true click rates of shown texts whose request's id begins so."""
        return [self._rates[name] for name, by in self._asked_for.items() if by.startswith(asked)]

    async def _visit(self) -> None:
        parts = urlsplit(self._url)
        loop = asyncio.get_running_loop()
        free: deque[_Connection] = deque()
        opened = [
            await loop.create_connection(
                lambda: _Connection(free, self._take), parts.hostname, parts.port
            )
            for _ in range(CONNECTIONS)
        ]
        with Client(self._url, timeout_seconds=PATIENCE_SECONDS) as self._client:
            await asyncio.gather(self._ask(free), self._report_on())
        for transport, _ in opened:
            transport.close()

    async def _ask(self, free: deque[_Connection]) -> None:
        names, number = list(self._placements), 0
        began = time.monotonic()
        while not self._stop.is_set():
            due = int((time.monotonic() - began) * self._per_second) - number
            while due > 0 and free:
                free.popleft().ask(names[number % len(names)], *self._visitor())
                number, due = number + 1, due - 1
            number += due  # what could not be asked in time is left out
            await asyncio.sleep(TURN_SECONDS)

    async def _report_on(self) -> None:
        with Client(self._url, timeout_seconds=PATIENCE_SECONDS) as client:
            while not self._stop.is_set():
                outcomes = self._due(time.monotonic())
                for start in range(0, len(outcomes), 1000):
                    several = outcomes[start : start + 1000]
                    await asyncio.to_thread(client.request, "POST", "/v1/outcomes", several)
                await asyncio.sleep(FLUSH_SECONDS)

    def _visitor(self) -> tuple[bytes, bool]:
        mobile = self._rng.random() < 0.5
        context = {"mobile": mobile, "user": f"u{self._rng.randrange(USERS)}"}
        return json.dumps({"context": context}).encode(), mobile

    def _take(self, placement: str, mobile: bool, answer: bytes) -> None:
        event, shown = _EVENT.search(answer), _SHOWN.search(answer)
        if event is None or shown is None:
            self.refused += 1
            self.problem = answer[-300:].decode(errors="replace")
            return
        creative_id, event_id = shown[1].decode(), event[1].decode()
        if creative_id not in self._rates:
            self._read_texts(placement)
        rate, second = self._rates[creative_id], int(time.time())
        sums = self._sums[second]
        sums[0] += 1.0
        sums[1] += rate
        self._by_version[second][self._wrote[creative_id]] += 1
        outcome = {"placement": placement, "event_id": event_id}
        self._impressions.append(outcome | {"kind": "impression"})
        if self._rng.random() < rate * EASY[mobile]:
            after = self._rng.uniform(*CLICK_SECONDS)
            self._clicks.append((time.monotonic() + after, outcome | {"kind": "click"}))

    def _read_texts(self, placement: str) -> None:
        path = f"/v1/placements/{placement}/creatives?status=live&status=retired&limit=1000"
        found = [
            each
            for each in self._client.request("GET", path)["items"]
            if each["id"] not in self._rates
        ]
        texts = ["\n".join(each["parts"].values()) for each in found]
        rates = self._taste.rates(self._placements[placement], texts).tolist() if texts else []
        for each, rate in zip(found, rates, strict=True):
            self._wrote[each["id"]] = each["lineage"]["adapter"] or "bare model"
            self._asked_for[each["id"]] = each["lineage"]["generation_id"] or ""
            self._rates[each["id"]] = rate

    def _due(self, now: float) -> list[dict[str, Any]]:
        """Returns what people saw since the last time, and the clicks whose time has come."""
        outcomes, self._impressions = self._impressions, []
        waiting = [self._clicks.popleft() for _ in range(len(self._clicks))]
        outcomes += [outcome for due, outcome in waiting if due <= now]
        self._clicks.extend(each for each in waiting if each[0] > now)
        return outcomes


class _Connection(asyncio.Protocol):
    """One connection, and at most one request at a time."""

    def __init__(self, free: deque[_Connection], take: Any) -> None:
        self._free, self._take = free, take
        self._answer = b""
        self._asked: tuple[str, bool] = ("", False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._free.append(self)

    def ask(self, placement: str, body: bytes, mobile: bool) -> None:
        self._asked = (placement, mobile)
        self._transport.write(
            b"POST /v1/placements/%b/rank HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (placement.encode(), len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        self._answer += data
        # Headers never end with what ends a JSON object.
        if self._answer.endswith(b"}"):
            answer, self._answer = self._answer, b""
            placement, mobile = self._asked
            with suppress(KeyError):  # a creative that came and went between two looks
                self._take(placement, mobile, answer)
            self._free.append(self)
