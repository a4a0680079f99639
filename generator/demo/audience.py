"""The demo's traffic: simulated visitors who ask for creatives over HTTP, and click later.

The audience knows the truth of its world and keeps the books by it; policy and generator see
requests and outcomes only, as they would from a real site.
"""

from __future__ import annotations

import heapq
import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final

from bandit.client import ApiError, Client, ClientError, Decision
from bandit.simulate import Response, TasteWorld, Visitor

WORKERS: Final = 3
RETRY_SECONDS: Final = 0.2


@dataclass
class TrafficTally:
    """What one placement has shown and earned, beside what the world says it could have.

    `served`, `uniform` and `best` are sums over visits of true click rates: of what the policy
    chose (under its pmf), of a uniform choice, and of the best creative for that visitor.
    """

    visits: int = 0
    clicks: int = 0
    conversions: int = 0
    served: float = 0.0
    uniform: float = 0.0
    best: float = 0.0
    unanswered: int = 0
    shown: dict[str, int] = field(default_factory=dict)
    clicked: dict[str, int] = field(default_factory=dict)
    pmf: dict[str, float] = field(default_factory=dict)
    policy_version: str = ""

    def since(self, earlier: TrafficTally) -> TrafficTally:
        """Returns what was added after `earlier` was taken (`snapshot`)."""
        return TrafficTally(
            visits=self.visits - earlier.visits,
            clicks=self.clicks - earlier.clicks,
            served=self.served - earlier.served,
            uniform=self.uniform - earlier.uniform,
            best=self.best - earlier.best,
        )


class Audience:
    """Visits at a steady rate, spread over the placements, until stopped.

    Args:
        url: the API's.
        world: who the visitors are and what they like.
        placements: names; every visit asks one of them, in turn.
        visits_per_second: over all placements; fewer come if the API answers more slowly.
    """

    def __init__(
        self, url: str, world: TasteWorld, placements: Sequence[str], *, visits_per_second: float
    ) -> None:
        self._url = url
        self._world = world
        self._placements = placements
        self._interval_seconds = 1.0 / visits_per_second
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._due: list[tuple[float, str, str, str, float]] = []
        self._tallies = {name: TrafficTally() for name in placements}
        self._texts: dict[str, str] = {}
        self._started = 0.0
        targets = [self._visit_all] * WORKERS + [self._report_outcomes]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]

    def start(self) -> None:
        """Opens the gates."""
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the visits; clicks that are still on their way are reported now, not later."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def snapshot(self) -> dict[str, TrafficTally]:
        """Returns a copy of each placement's books as they are now."""
        with self._lock:
            return {name: deepcopy(tally) for name, tally in self._tallies.items()}

    def know(self, texts: Mapping[str, str]) -> None:
        """Tells which text each creative id stands for; visitors like texts, not ids."""
        with self._lock:
            self._texts.update(texts)

    def _visit_all(self) -> None:
        client = Client(self._url)
        while not self._stop.is_set():
            number = next(self._numbers)
            wait = self._started + number * self._interval_seconds - time.monotonic()
            if wait > 0 and self._stop.wait(wait):
                break
            placement = self._placements[number % len(self._placements)]
            try:
                self._visit(client, placement, self._world.visitor(number))
            except ClientError:
                self._tallies[placement].unanswered += 1
                self._stop.wait(RETRY_SECONDS)
        client.close()

    def _visit(self, client: Client, placement: str, visitor: Visitor) -> None:
        decision = client.rank(placement, json.loads(bytes(visitor.context)))
        if any(creative_id not in self._texts for creative_id in decision.pmf):
            page = client.request("GET", f"/v1/placements/{placement}/creatives?limit=1000")
            self.know({c["id"]: c["parts"]["headline"] for c in page["items"]})
        chosen = decision.creative_id
        response = self._world.respond(visitor, self._texts[chosen])
        with self._lock:
            self._book(placement, visitor, decision, response)
            if response.click:
                self._plan(placement, decision.event_id, response)

    def _book(
        self, placement: str, visitor: Visitor, decision: Decision, response: Response
    ) -> None:
        tally = self._tallies[placement]
        pmf = decision.pmf
        rates = {name: self._world.click_rate(visitor.context, self._texts[name]) for name in pmf}
        chosen = decision.creative_id
        tally.visits += 1
        tally.served += sum(share * rates[name] for name, share in pmf.items())
        tally.uniform += sum(rates.values()) / len(rates)
        tally.best += max(rates.values())
        tally.shown[chosen] = tally.shown.get(chosen, 0) + 1
        if response.click:
            tally.clicks += 1
            tally.clicked[chosen] = tally.clicked.get(chosen, 0) + 1
        tally.pmf = pmf
        tally.policy_version = decision.policy_version

    def _plan(self, placement: str, event_id: str, response: Response) -> None:
        now = time.monotonic()
        click = (now + response.delay_seconds, placement, event_id, "click", 1.0)
        heapq.heappush(self._due, click)
        if response.conversion:
            at = now + response.conversion_delay_seconds
            heapq.heappush(self._due, (at, placement, event_id, "conversion", response.value))
            self._tallies[placement].conversions += 1

    def _report_outcomes(self) -> None:
        """Posts what is due; at the end, what would come within a little while still comes."""
        client = Client(self._url)
        while not (self._stop.is_set() and not self._due):
            with self._lock:
                ending = self._stop.is_set()
                now = time.monotonic() + (3600.0 if ending else 0.0)
                due = []
                while self._due and self._due[0][0] <= now:
                    due.append(heapq.heappop(self._due))
            for outcome in due:
                self._report(client, outcome)
            if not due:
                time.sleep(0.005)
        client.close()

    def _report(self, client: Client, outcome: tuple[float, str, str, str, float]) -> None:
        _, placement, event_id, kind, value = outcome
        try:
            client.outcome(placement, event_id, kind, value)
        except ClientError as error:
            if isinstance(error, ApiError) and error.status < 500:
                raise  # it would be refused for ever
            # the API is being restarted: the click is not lost, it comes a little later
            time.sleep(RETRY_SECONDS)
            with self._lock:
                heapq.heappush(self._due, outcome)
